"""Talks to a running node through PyPI's openai, as a Python program would.

DAULAT_API and DAULAT_TOKEN say where the node is and how to be let in. With the
argument "busy" the node has no place left, and must say so. Otherwise every
call that the gateway serves is made and checked; the last line is one JSON
object with what was answered, for comparison with the other clients.
"""

import json
import os
import re
import sys

import openai

SAME = {"seed": int(os.environ["DAULAT_SEED"]), "temperature": 1, "max_tokens": 40}
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is this noise?"}]
PROMPT = "Once upon a time"


def connect(token=os.environ["DAULAT_TOKEN"]):
    return openai.OpenAI(base_url=os.environ["DAULAT_API"], api_key=token, max_retries=0, timeout=60)


client = connect()


def equal(got, want, what):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def true(ok, what):
    if not ok:
        sys.exit(what)


def refused(call, kind, status, code, param):
    """The call must fail with the official class, status and codes."""
    try:
        call()
    except kind as e:
        equal((e.status_code, e.code, e.param), (status, code, param), kind.__name__)
        return e
    sys.exit(f"a request that deserves {kind.__name__} was served")


def chat(**options):
    return client.chat.completions.create(model=model, messages=ASK, **options)


def receipt(reply, header):
    """The receipt is the same wherever the reply names it, and has a price."""
    d = reply.model_extra["daulat"]
    equal(d["receipt"], header, "receipt in the header")
    true(reply.id.endswith("-" + header), f"reply ID {reply.id} does not name receipt {header}")
    equal((d["model_id"], reply.system_fingerprint), (manifest, manifest), "manifest of the model")
    true(int(d["price_udlt"]) > 0 and d["label"] and d["provider"], f"receipt lacks a part: {d}")


def counts(usage):
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "sum of the usage")
    return usage.prompt_tokens, usage.completion_tokens


def streamed(stream, header, text):
    """Reads a stream that ends with its usage, and gives its text and reason."""
    chunks = list(stream)
    choices = [c.choices[0] for c in chunks if c.choices]
    reasons = [c.finish_reason for c in choices]
    equal([r is None for r in reasons], [True] * (len(reasons) - 1) + [False], "finish reason comes last")
    equal([len(c.choices) for c in chunks[-2:]], [1, 0], "choices of the last two chunks")
    true(all(c.usage is None for c in chunks[:-1]), "usage came before the end")
    receipt(chunks[-1], header)
    return "".join(text(c) or "" for c in choices), reasons[-1], counts(chunks[-1].usage)


def chats():
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK, **SAME)
    whole = raw.parse()
    answer, reason = whole.choices[0].message.content, whole.choices[0].finish_reason
    receipt(whole, raw.headers["daulat-receipt"])
    equal((whole.object, whole.model, whole.choices[0].message.role), ("chat.completion", model, "assistant"), "chat")
    prompt, completion = counts(whole.usage)
    equal((reason, completion), ("length", SAME["max_tokens"]), "answer cut at its limit")

    again = chat(**SAME)
    equal(again.choices[0].message.content, answer, "answer to the same seed")
    true(again.id != whole.id, "two answers have one receipt")
    true(chat(**SAME | {"seed": SAME["seed"] + 1}).choices[0].message.content != answer, "two seeds gave one answer")
    parts = [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in ASK]
    equal(client.chat.completions.create(model=model, messages=parts, **SAME).choices[0].message.content, answer, "content in parts")

    with client.chat.completions.with_streaming_response.create(
        model=model, messages=ASK, stream=True, stream_options={"include_usage": True}, **SAME
    ) as raw:
        got = streamed(raw.parse(), raw.headers["daulat-receipt"], lambda c: c.delta.content)
    equal(got, (answer, "length", (prompt, completion)), "streamed chat")

    last = list(chat(stream=True, **SAME))[-1]
    equal(last.choices[0].finish_reason, "length", "last chunk without usage")
    true(last.usage is None and last.model_extra["daulat"]["receipt"], "last chunk has usage or no receipt")
    with chat(stream=True) as stream:
        next(iter(stream))  # and leave
    return answer


def ends():
    greedy = SAME | {"temperature": 0}  # where the stop strings have no part in the draws
    answer = chat(**greedy).choices[0].message.content
    stop = re.findall("[a-z]{3,}", answer)[-1]
    cut = chat(stop=[stop, "\u2603"], **greedy).choices[0]
    equal((cut.message.content, cut.finish_reason), (answer[: answer.index(stop)], "stop"), f"answer stopped at {stop!r}")
    for seed in range(40):
        by_itself = chat(seed=seed, temperature=1, max_tokens=256)
        if by_itself.choices[0].finish_reason == "stop":
            true(counts(by_itself.usage)[1] < 256, "an answer that stopped has the length of its limit")
            return
    sys.exit("no answer of 40 ended by itself")


def completions():
    raw = client.completions.with_raw_response.create(model=model, prompt=PROMPT, **SAME)
    whole = raw.parse()
    receipt(whole, raw.headers["daulat-receipt"])
    equal(whole.object, "text_completion", "object of a completion")
    used = counts(whole.usage)
    with client.completions.with_streaming_response.create(
        model=model, prompt=PROMPT, stream=True, stream_options={"include_usage": True}, **SAME
    ) as raw:
        got = streamed(raw.parse(), raw.headers["daulat-receipt"], lambda c: c.text)
    equal(got, (whole.choices[0].text, whole.choices[0].finish_reason, used), "streamed completion")
    return whole.choices[0].text


def logprobs():
    """Whole and streamed answers show the same of each token, in chat and completions."""
    ask = SAME | {"logprobs": True, "top_logprobs": 3}
    whole = chat(**ask)
    shown = whole.choices[0].logprobs.content
    equal(len(shown), counts(whole.usage)[1], "tokens with log-probabilities")
    for t in shown:
        top = [x.logprob for x in t.top_logprobs]
        true(len(top) == 3 and top == sorted(top, reverse=True) and t.logprob <= max(top) <= 0, f"alternatives {t}")
        true(all(x.logprob == t.logprob for x in t.top_logprobs if x.bytes == t.bytes), f"two log-probabilities of one token: {t}")
        equal(bytes(t.bytes).decode(errors="replace"), t.token, "bytes of a token")
    text = b"".join(bytes(t.bytes) for t in shown if not t.token.startswith("<|")).decode(errors="replace")
    equal(text, whole.choices[0].message.content, "text of the tokens")
    chunks = [c.choices[0].logprobs for c in chat(stream=True, **ask)]
    equal([t for c in chunks if c for t in c.content], shown, "streamed log-probabilities")
    equal(chat(**SAME | {"logprobs": True}).choices[0].logprobs.content[0].top_logprobs, [], "alternatives that nobody asked for")
    equal(chat(**SAME).choices[0].logprobs, None, "log-probabilities that nobody asked for")

    ask = SAME | {"model": model, "prompt": PROMPT, "logprobs": 2}
    whole = client.completions.create(**ask)
    l = whole.choices[0].logprobs
    equal({len(x) for x in (l.tokens, l.token_logprobs, l.top_logprobs, l.text_offset)}, {counts(whole.usage)[1]}, "tokens of a completion")
    for token, value, top, offset in zip(l.tokens, l.token_logprobs, l.top_logprobs, l.text_offset):
        true(2 <= len(top) <= 3 and top[token] >= value, f"alternatives {top} to {token!r}")
        plain = not token.startswith(("<|", "bytes:"))
        true(not plain or whole.choices[0].text[offset:].startswith(token), f"{token!r} is not at {offset}")
    chunks = [c.choices[0].logprobs for c in client.completions.create(stream=True, **ask)]
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        equal([x for c in chunks if c for x in getattr(c, name)], getattr(l, name), f"streamed {name}")


def errors():
    refused(connect("dlt-" + "0" * 64).models.list, openai.AuthenticationError, 401, "invalid_api_key", None)
    refused(lambda: client.chat.completions.create(model="none", messages=ASK), openai.NotFoundError, 404, "model_not_found", "model")
    refused(lambda: client.models.retrieve("none"), openai.NotFoundError, 404, "model_not_found", "model")
    refused(lambda: client.embeddings.create(model=model, input="x"), openai.NotFoundError, 404, "unknown_url", None)
    refused(lambda: chat(temperature=3), openai.BadRequestError, 400, None, "temperature")
    refused(lambda: chat(n=2), openai.BadRequestError, 400, None, "n")
    refused(lambda: chat(top_logprobs=2), openai.BadRequestError, 400, None, "top_logprobs")
    refused(lambda: chat(logprobs=True, top_logprobs=21), openai.BadRequestError, 400, None, "top_logprobs")
    long = [{"role": "user", "content": "word " * 100_000}]
    refused(lambda: client.chat.completions.create(model=model, messages=long), openai.BadRequestError, 400, "context_length_exceeded", "messages")


def busy():
    e = refused(chat, openai.RateLimitError, 429, "rate_limit_exceeded", None)
    true(int(e.response.headers["retry-after"]) >= 1, "no time to wait in Retry-After")


listed = list(client.models.list()) if sys.argv[1:] != ["busy"] else []
model = listed[0].id if listed else "noise"
if sys.argv[1:] == ["busy"]:
    busy()
    sys.exit()
equal(len(listed), 1, "number of models")
manifest = listed[0].model_extra["daulat"]["model_id"]
equal(client.models.retrieve(model).model_extra["daulat"]["model_id"], manifest, "manifest of one model")
answer = chats()
ends()
completion = completions()
logprobs()
errors()
print(json.dumps({"chat": answer, "completion": completion}))
