"""Runs one model in llama.cpp, through the shared libraries that an npm package carries.

Usage: llama.py FOLDER MODEL.gguf THREADS MODE; FOLDER holds libllama. MODE is
"exact" (F32 keys and values, plain attention: what rounds least) or "fast"
(the defaults: F16 keys and values, flash attention where llama.cpp picks it).

The first line printed says what runs. Then each line of standard input is a
request in JSON, answered by a line of JSON and, for logits, by raw floats:

  {"tokens": [...], "from": n}      logits after each token from n on: rows of float32
  {"tokens": [...], "more": m, ...} m tokens more, picked with temperature, top_p and
                                    seed, or greedily without; seconds to the first and
                                    from there to the last
  {"widen": function, "data": base64, "values": n}  what that function of ggml makes of a row

Layouts of the structures are those of the version that package-lock.json pins;
they are checked against the library's own defaults.
"""

import base64
import ctypes as c
import glob
import json
import os
import sys
import time

P, I, F = c.c_void_p, c.c_int32, c.c_float
ERROR = 4  # log level
F32, PLAIN = 0, 0  # type of keys and values; flash attention off


class ModelParams(c.Structure):
    _fields_ = [("opaque", c.c_uint64 * 10)]  # used with its defaults only


class ContextParams(c.Structure):
    _fields_ = [
        *[(n, I) for n in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq", "n_outputs_max", "n_outputs_seq")],
        *[(n, I) for n in ("n_threads", "n_threads_batch", "type", "rope_scaling", "pooling", "attention", "flash_attn")],
        *[(n, F) for n in ("rope_base", "rope_scale", "yarn_ext", "yarn_attn", "yarn_fast", "yarn_slow")],
        *[("yarn_ctx", I), ("defrag", F), ("eval", P), ("eval_data", P), ("type_k", I), ("type_v", I)],
        *[("abort", P), ("abort_data", P), ("flags", c.c_bool * 6), ("samplers", P), ("n_samplers", c.c_size_t), ("other", P)],
    ]


class Batch(c.Structure):
    _fields_ = [("n", I), ("tokens", P), ("embd", P), ("positions", P), ("n_seq", P), ("seq", P), ("outputs", P)]


class ThreadpoolParams(c.Structure):
    _fields_ = [("mask", c.c_bool * 512), ("n_threads", I), ("priority", I), ("poll", I), ("strict", c.c_bool), ("paused", c.c_bool)]


class Libraries:
    """ggml and llama, with their functions by name."""

    def __init__(self, folder):
        find = lambda pattern: c.CDLL(sorted(glob.glob(os.path.join(folder, pattern)))[0], mode=c.RTLD_GLOBAL)
        self.all = [find("libggml-base.so*"), find("libggml.*so*"), find("libllama.*so*")]

        @c.CFUNCTYPE(None, c.c_int, c.c_char_p, P)
        def log(level, text, _):
            if level == ERROR:
                sys.stderr.write(text.decode(errors="replace"))

        self.log = log  # kept alive
        self("llama_log_set", None, c.c_void_p, P)(c.cast(log, P), None)
        self("ggml_backend_load_all_from_path", None, c.c_char_p)(folder.encode())
        self("llama_backend_init", None)()

    def __call__(self, name, result, *arguments):
        for library in self.all:
            try:
                function = getattr(library, name)
            except AttributeError:
                continue
            function.restype, function.argtypes = result, arguments
            return function
        sys.exit(f"llama.cpp has no function {name}")


class Llama:
    def __init__(self, lib, path, threads, exact):
        self.lib = lib
        self.model = lib("llama_model_load_from_file", P, c.c_char_p, ModelParams)(
            path.encode(), lib("llama_model_default_params", ModelParams)()
        )
        if not self.model:
            sys.exit(f"llama.cpp does not load {path}")
        p = lib("llama_context_default_params", ContextParams)()
        known = (p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max, p.flash_attn, p.type_k, p.type_v, list(p.flags), p.other)
        if known != (512, 2048, 512, 1, -1, 1, 1, [False, True, True, True, True, False], None):
            sys.exit(f"llama.cpp has other defaults than this script knows: {known}")
        p.n_ctx = lib("llama_model_n_ctx_train", I, P)(self.model)
        p.n_threads = p.n_threads_batch = threads
        if exact:
            p.type_k, p.type_v, p.flash_attn = F32, F32, PLAIN
        self.context = lib("llama_init_from_model", P, P, ContextParams)(self.model, p)
        if not self.context:
            sys.exit("llama.cpp makes no context")
        self.pool(threads)
        self.limit = min(p.n_batch, p.n_ctx)
        self.settings = f"n_batch {p.n_batch}, n_ubatch {p.n_ubatch}, flash attention {'off' if exact else 'auto'}, keys and values {'F32' if exact else 'F16'}, a thread pool that stays"
        self.memory = lib("llama_get_memory", P, P)(self.context)
        self.vocab = lib("llama_vocab_n_tokens", I, P)(lib("llama_model_get_vocab", P, P)(self.model))
        self.clear = lib("llama_memory_clear", None, P, c.c_bool)
        self.decode = lib("llama_decode", I, P, Batch)
        self.logits = lib("llama_get_logits_ith", c.POINTER(F), P, I)

    def pool(self, threads):
        """Threads that live as long as the context, as llama.cpp's own programs have them."""
        cpu = self.lib("ggml_backend_reg_by_name", P, c.c_char_p)(b"CPU")
        new = self.lib("ggml_backend_reg_get_proc_address", P, P, c.c_char_p)(cpu, b"ggml_threadpool_new")
        params = self.lib("ggml_threadpool_params_default", ThreadpoolParams, I)(threads)
        if not new or params.n_threads != threads:
            sys.exit("llama.cpp makes no thread pool as this script knows it")
        pool = c.CFUNCTYPE(P, c.POINTER(ThreadpoolParams))(new)(c.byref(params))
        self.lib("llama_attach_threadpool", None, P, P, P)(self.context, pool, pool)

    def feed(self, tokens, position, wanted):
        """Decodes tokens from position on; wanted says of which the logits are kept."""
        n = len(tokens)
        ints = I * n
        sequence = I(0)
        parts = (
            ints(*tokens),
            ints(*range(position, position + n)),
            ints(*[1] * n),
            (P * n)(*[c.addressof(sequence)] * n),
            (c.c_int8 * n)(*wanted),
        )
        t, p, ns, s, w = map(c.addressof, parts)
        status = self.decode(self.context, Batch(n, t, None, p, ns, s, w))
        if status != 0:
            sys.exit(f"llama_decode of {n} tokens at {position} returned {status}")

    def rows(self, out, tokens, first):
        """Writes the logits after each token from first on."""
        self.clear(self.memory, True)
        for at in range(0, len(tokens), self.limit):
            part = tokens[at : at + self.limit]
            self.feed(part, at, [at + i >= first for i in range(len(part))])
            for i in range(max(first - at, 0), len(part)):
                out.write(c.string_at(self.logits(self.context, i), 4 * self.vocab))

    def answer(self, tokens, more, sampler):
        """more tokens after these, and the seconds that the first and the others took."""
        if len(tokens) > self.limit:
            sys.exit(f"{len(tokens)} tokens are more than one batch of {self.limit}")
        pick = self.lib("llama_sampler_sample", I, P, P, I)
        self.clear(self.memory, True)
        began = time.perf_counter()
        self.feed(tokens, 0, [False] * (len(tokens) - 1) + [True])
        answer = [pick(sampler, self.context, -1)]
        first = time.perf_counter()
        while len(answer) < more:
            self.feed(answer[-1:], len(tokens) + len(answer) - 1, [True])
            answer.append(pick(sampler, self.context, -1))
        return {"tokens": answer, "first": first - began, "rest": time.perf_counter() - first}

    def sampler(self, temperature=None, top_p=1.0, seed=0):
        chain = self.lib("llama_sampler_chain_init", P, c.c_bool)(True)
        add = self.lib("llama_sampler_chain_add", None, P, P)
        if temperature is None:
            add(chain, self.lib("llama_sampler_init_greedy", P)())
            return chain
        add(chain, self.lib("llama_sampler_init_top_p", P, F, c.c_size_t)(top_p, 1))
        add(chain, self.lib("llama_sampler_init_temp", P, F)(temperature))
        add(chain, self.lib("llama_sampler_init_dist", P, c.c_uint32)(seed))
        return chain


def widen(lib, function, data, values):
    row = (F * values)()
    lib(function, None, c.c_char_p, P, c.c_int64)(data, row, values)
    return bytes(row)


def main():
    folder, path, threads, mode = sys.argv[1:]
    lib = Libraries(folder)
    llama = Llama(lib, path, int(threads), mode == "exact")
    out = sys.stdout.buffer

    def say(v):
        out.write(json.dumps(v).encode() + b"\n")

    text = lambda name: lib(name, c.c_char_p)().decode()
    say({"version": text("llama_version"), "system": text("llama_print_system_info"), "settings": llama.settings, "vocab": llama.vocab})
    out.flush()
    for line in sys.stdin:
        r = json.loads(line)
        if "widen" in r:
            say({})
            out.write(widen(lib, r["widen"], base64.b64decode(r["data"]), r["values"]))
        elif "more" in r:
            sampler = llama.sampler(**{k: r[k] for k in ("temperature", "top_p", "seed") if k in r})
            say(llama.answer(r["tokens"], r["more"], sampler))
            lib("llama_sampler_free", None, P)(sampler)
        else:
            say({})
            llama.rows(out, r["tokens"], r["from"])
        out.flush()


main()
