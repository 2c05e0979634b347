"""Reads spec/vectors with nothing of Daulat's own and checks every value.

What the Go code wrote is computed again here from spec/*.md: encodings with
cbor2, hashes with blake3, signatures with cryptography, the rest with Python's
integers. Usage: read.py FOLDER. Prints one line for each file and ends with
status 1 if anything differs.
"""

import decimal
import json
import math
import pathlib
import re
import struct
import sys

import forms
import welcome
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from forms import MAX64, Refused, check, cid, cid_parse, cid_text, digest, encode, item, read, refused, sealed, verified

# --- spec/canon.md ---------------------------------------------------------


def canon(d):
    for c in d["key"]:
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(c["seed"]))
        check(key.public_key().public_bytes_raw().hex() == c["public"], "public key")
        for s in d["sign"]:
            if s["signer"] == c["public"]:
                check(key.sign(sealed(s["domain"], item(s))).hex() == s["signature"], "signature made here differs")
    for c in d["cid"]:
        raw = cid(c["codec"], bytes.fromhex(c["data"]))
        check(raw.hex() == c["bytes"] and cid_text(raw) == c["text"] and cid_parse(c["text"]) == raw, "CID")
    for c in d["cid_refused"]:
        refused(lambda: cid_parse(c["text"]), f"CID, {c['why']}")
    for c in d["refused"]:
        refused(lambda: read("voucher", bytes.fromhex(c["cbor"])), f"voucher, {c['why']}")


# --- spec/artifact.md ------------------------------------------------------


def manifest(data):
    m = read("manifest", data)
    model = m.get("model", {"semantics": "x", "architecture": "x", "context": 1})
    ok = (m["v"] == 1 and all(0 < len(m[f].encode()) <= 256 for f in ("name", "media", "licence"))
          and 0 < len(m["parts"]) <= 4096 and all(p["role"] for p in m["parts"]) and len(m.get("parents", [])) <= 256
          and all(p.value[2] == 0x71 for p in m.get("parents", [])) and model["semantics"] and model["architecture"] and model["context"])
    if not ok:
        raise ValueError("not a manifest")
    return m, cid_text(cid(0x71, data))


def declaration(data):
    m = read("declaration", data)
    name, hexadecimal = m["name"], m.get("digest", "0" * 64)
    if m["v"] != 1 or not re.fullmatch(r"[!-~]([ -~]{0,254}[!-~])?", name) or not re.fullmatch("[0-9a-f]{64}", hexadecimal):
        raise ValueError("not a declaration")
    return cid_text(cid(0x55, data))


def artifact(d):
    for c in d["manifest"]:
        item(c)
        check(manifest(bytes.fromhex(c["cbor"]))[1] == c["id"], "manifest ID")
    for c in d["refused"]:
        refused(lambda: manifest(bytes.fromhex(c["cbor"])), f"manifest, {c['why']}")
    for c in d["declaration"]:
        item(c)
        check(declaration(bytes.fromhex(c["cbor"])) == c["id"], "declared ID")
    for c in d["declaration_refused"]:
        refused(lambda: declaration(bytes.fromhex(c["cbor"])), f"declaration, {c['why']}")


# --- spec/job.md -----------------------------------------------------------


def cost(price, tokens_in, tokens_out):
    c = -(-(price["input"] * tokens_in + price["output"] * tokens_out) // 1000)
    return c if c <= MAX64 else None


def due(entry):
    return min(entry["receipt"]["amount"], entry["voucher"]["amount"])


def newer(e, old):
    def rank(x):
        return due(x), x["voucher"]["seq"], x["voucher"]["final"]
    return rank(e) > rank(old)


def shut(s, by, at):
    if s["state"] == "open":
        s.update(state="closing", clock=at + s["windows"]["close"],
                 reason="consumer closed" if by == s["consumer"] else "provider closed")


def split(s, why, at):
    e = s["escrow"]
    pay = min(due(s["claim"]), e["locked"]) if "claim" in s else 0
    refund = e["locked"] - pay
    e.update(locked=0, withheld=e["withheld"] + pay, refunded=e["refunded"] + refund)
    s.update(state="settled", clock=at + s["windows"]["challenge"])
    if not s["reason"] or why == "both sides agreed":
        s["reason"] = why
    return [(s["consumer"], refund)]


def move(s, step):
    """Applies a step to session s and returns the payments."""
    by, at = step.get("by"), step["at"]
    if step["event"] == "tick":
        if at < s["clock"]:
            return []
        if s["state"] == "open":
            s.update(state="closing", clock=at + s["windows"]["close"], reason="deadline passed")
        elif s["state"] == "closing":
            return split(s, s["reason"], at)
        elif s["state"] == "settled":
            paid = s["escrow"]["withheld"]
            s["escrow"].update(withheld=0, paid=s["escrow"]["paid"] + paid)
            s.update(state="released", clock=0)
            return [(s["provider"], paid)]
        return []
    if step["event"] == "top up":
        if s["state"] != "open" or by != s["consumer"]:
            raise Refused
        s["escrow"]["deposited"] += step["amount"]
        s["escrow"]["locked"] += step["amount"]
        return []
    closes = step["event"] == "close" or step.get("close", False)
    if closes and by not in (s["consumer"], s["provider"]) or s["state"] not in ("open", "closing"):
        raise Refused
    if step["event"] == "close":
        shut(s, by, at)
        return []
    e = item(step["entry"])
    pair("daulat-1", s, e)
    if "claim" in s and not newer(e, s["claim"]) and e != s["claim"]:
        raise Refused
    s["claim"] = e
    if e["voucher"]["final"] and by == s["provider"]:
        return split(s, "both sides agreed", at)
    if step.get("close"):
        shut(s, by, at)
    return []


def pair(chain, s, e):
    r, v = e["receipt"], e["voucher"]
    if (r["chain"], r["session"]) != (chain, s["id"]) or (v["chain"], v["session"]) != (chain, s["id"]):
        raise Refused("another chain or session")
    if (r["seq"], r["root"]) != (v["seq"], v["root"]):
        raise Refused("two histories")
    if not verified(s["provider_key"], "daulat/receipt", r, e["receipt_sig"]):
        raise Refused("receipt not signed")
    if not verified(s["session_key"], "daulat/voucher", v, e["voucher_sig"]):
        raise Refused("voucher not signed")


def complain(chain, s, c):
    """Files c against session s and returns what goes on record."""
    signed, evidence = item(c["receipt"]), bytes.fromhex(c["evidence"])
    r = signed["receipt"]
    if (c["by"] != s["consumer"] or s["state"] not in ("open", "closing", "settled") or c["seq"] == 0 or evidence == bytes(32)
            or (r["chain"], r["session"]) != (chain, s["id"]) or r["seq"] == 0
            or not verified(s["provider_key"], "daulat/receipt", r, signed["sig"])):
        raise Refused
    return {"v": 1, "session": s["id"], "seq": c["seq"], "consumer": s["consumer"], "provider": s["provider"],
            "model": s["terms"]["model"], "receipt": signed, "evidence": evidence, "filed": c["at"]}


def bound(keys, at):
    """The key in force, the next and its time, as they stand at a time."""
    key, following, start = keys
    return (following, None, 0) if following and at >= start else keys


def rebind(keys, step):
    key, following, start = bound(keys, step["at"])
    if step["event"] == "rotate":
        if "key" not in step:
            raise Refused
        new = bytes.fromhex(step["key"])
        if new == key:
            return key, None, 0
        if new == following:
            return key, following, start
        return bound((key, new, step["at"] + step.get("delay", 0)), step["at"])
    if step["event"] == "revoke":
        if not key:
            raise Refused
        return None, following, start
    return key, following, start


def job(d):
    for c in d["price"]:
        price = {"input": c["input_price"], "output": c["output_price"]}
        check(cost(price, c["input"], c["output"]) == c.get("cost"), f"price {c}")
    for c in d["terms"] + d["order"]:
        item(c)
    proof, session = d["evidence"][0], item(d["walk_agreed"][0]["session"])
    kept = item(proof)
    r, t = kept["receipt"]["receipt"], kept["transcript"]
    check(climb(r["seq"], t["index"], digest(sealed("daulat/leaf", leaf_of(t))), list(kept["path"])) == r["root"], "evidence's path")
    for c in d["complaint"]:
        try:
            v = complain("daulat-1", session | {"state": c["state"]}, c)
            check("complaint" in c and v == item(c["complaint"]), f"complaint {c['why']} was refused there, or differs")
            check(v["evidence"].hex() == proof["digest"] and v["seq"] == t["ask"]["seq"], f"complaint's evidence, {c['why']}")
        except Refused:
            check("complaint" not in c, f"complaint {c['why']} is refused here")
    for name in (n for n in d if n.startswith("binding_")):
        keys = bytes.fromhex(d[name][0]["in_force"]), None, 0
        for step in d[name]:
            try:
                keys, ok = rebind(keys, step), True
            except Refused:
                ok = False
            check(ok == ("refused" not in step), f"{name}: {step['event']} at {step['at']}")
            shown = [k and k.hex() for k in bound(keys, step["at"])[:2]] + [bound(keys, step["at"])[2]]
            check(shown == [step["in_force"], step["next"], step["from"]], f"{name}: key after {step['event']} at {step['at']}")
    for name in (n for n in d if n.startswith("walk_")):
        state = item(d[name][0]["session"])
        for step in d[name][1:]:
            before, paid = encode(state), []
            try:
                paid = move(state, step)
                check("refused" not in step, f"{name}: {step['event']} was refused there")
            except Refused:
                check("refused" in step and encode(state) == before, f"{name}: {step['event']} is refused here")
            check(state == item(step["session"]) and encode(state) == bytes.fromhex(step["session"]["cbor"]), f"{name}: {step['event']} at {step['at']}")
            check([(p["To"], p["Amount"]) for p in step["payments"]] == [p for p in paid if p[1]], f"{name}: payments")
            e = state["escrow"]
            check(e["deposited"] == e["locked"] + e["withheld"] + e["paid"] + e["refunded"], f"{name}: money is lost")


# --- spec/receipt.md -------------------------------------------------------


def node(left, right):
    return digest(b"daulat/node/1" + left + right)


def half(n):
    return 1 << (n - 1).bit_length() - 1


def root(leaves):
    if not leaves:
        return bytes(32)
    if len(leaves) == 1:
        return leaves[0]
    k = half(len(leaves))
    return node(root(leaves[:k]), root(leaves[k:]))


def peaks(leaves):
    """Roots of the full subtrees, largest first."""
    out = []
    while leaves:
        k = 1 << len(leaves).bit_length() - 1
        out.append(root(leaves[:k]).hex())
        leaves = leaves[k:]
    return out


def climb(count, i, leaf, path):
    if i >= count:
        raise ValueError("outside")
    if count == 1:
        if path:
            raise ValueError("too long")
        return leaf
    if not path:
        raise ValueError("too short")
    k = half(count)
    if i < k:
        return node(climb(k, i, leaf, path[:-1]), path[-1])
    return node(path[-1], climb(count - k, i - k, leaf, path[:-1]))


def ranges(d):
    leaves = [digest(bytes([i])) for i in range(32)]
    for c in d["root"]:
        check(root(leaves[: c["count"]]).hex() == c["root"], f"root of {c['count']}")
    for c in d["path"]:
        path = [bytes.fromhex(h) for h in c["path"]]
        check(climb(c["count"], c["index"], leaves[c["index"]], path) == root(leaves[: c["count"]]), f"path {c}")
    for c in d["refused"]:
        def reaches():
            path = [bytes.fromhex(h) for h in c["path"]]
            if climb(c["count"], c["index"], leaves[c["index"]], path) != root(leaves[: c["count"]]):
                raise ValueError("another root")
        refused(reaches, f"path, {c['why']}")


def commit(salt, h):
    return digest(sealed("daulat/commit", [salt, h]))


def leaf_of(t):
    """The leaf that a transcript stands for."""
    a, r, answer = t["ask"], t["request"], t["answer"]
    return {"session": a["session"], "seq": a["seq"], "request": commit(a["salt"], a["request"]),
            "answer": commit(a["salt"], digest(sealed("daulat/answer", answer))),
            "input": len(r["tokens"]), "output": len(answer["tokens"])}


def receipts(d):
    price = {"input": 200, "output": 1000}
    leaves, total_in, total_out = [], 0, 0
    for n, c in enumerate(d["served"]):
        v = {name: item(c[name]) for name in ("request", "ask", "answer", "leaf", "transcript", "receipt", "voucher")}
        t, leaf = v["transcript"], v["leaf"]
        check(v["ask"]["request"].hex() == c["request"]["digest"], "ask names its request")
        check((t["ask"], t["request"], t["answer"], t["index"]) == (v["ask"], v["request"], v["answer"], n), "transcript")
        check(leaf_of(t) == leaf and [leaf["request"].hex(), leaf["answer"].hex()] == c["commitments"], "leaf")
        leaves.append(digest(sealed("daulat/leaf", leaf)))
        check(leaves[-1].hex() == c["leaf"]["digest"] and peaks(leaves) == c["peaks"], "range")
        total_in, total_out = total_in + leaf["input"], total_out + leaf["output"]
        both = {"chain": "daulat-1", "session": 7, "seq": n + 1, "amount": cost(price, total_in, total_out), "root": root(leaves)}
        check(v["receipt"] == both | {"input": total_in, "output": total_out}, "receipt")
        check(v["voucher"] == both | {"final": False}, "voucher")
    final, entry = (item(c) for c in d["final"])
    check(final == both | {"final": True} and entry["voucher"] == final and entry["receipt"] == v["receipt"], "final pair")
    for c in d["shown"]:
        request, answer = item(c["request"]), item(c["answer"])
        asked, shown = request["params"]["logprobs"], answer["logprobs"]
        check(len(shown) == len(answer["tokens"]) and all(len(top) == asked - 1 for _, top in shown), "log-probabilities as asked for")
    for c in d["told"]:
        request, answer, leaf = item(c["request"]), item(c["answer"]), item(c["leaf"])
        told(request, answer)
        check((leaf["input"], leaf["output"]) == (answer["usage"]["input"], answer["usage"]["output"]), "billed as reported")
    for c in d["told_refused"]:
        refused(lambda: told(item(c["request"]), item(c["answer"])), f"an answer in text, {c['why']}")


class Number(str):
    """A JSON number as it was written."""


def one_form(v):
    """Writes JSON in the form that is signed (spec/canon.md)."""
    if isinstance(v, Number):
        return str(v)
    if isinstance(v, str):
        return json.dumps(v, ensure_ascii=False)
    if isinstance(v, list):
        return "[" + ",".join(map(one_form, v)) + "]"
    if isinstance(v, dict):
        return "{" + ",".join(f"{one_form(k)}:{one_form(v[k])}" for k in sorted(v, key=str.encode)) + "}"
    return json.dumps(v)


def from_json(text):
    v = json.loads(text, parse_int=Number, parse_float=Number)
    if one_form(v) != text:
        raise ValueError("JSON not in its one form")
    return v


def told(request, answer):
    """A request to a declared model, and what its answer may be (spec/receipt.md)."""
    chat, message = from_json(request["chat"]), from_json(answer["message"])
    if request["model"].value[2] != 0x55 or request["tokens"] or not chat["messages"] or set(chat) - {"messages", "tools", "tool_choice", "response_format"}:
        raise ValueError("not a request in text")
    for m in chat["messages"]:
        for part in m["content"] if isinstance(m.get("content"), list) else []:
            image = part.get("image_url", "data:")
            if part["type"] not in ("text", "refusal", "image_url", "input_audio") or not (image["url"] if isinstance(image, dict) else image).startswith("data:"):
                raise ValueError("a part that is elsewhere")
    if "content" not in message or set(message) - {"content", "reasoning_content", "tool_calls"} or not message.get("tool_calls", [0]) or not message.get("reasoning_content", "?"):
        raise ValueError("not a message")
    most, size = request["params"]["max_tokens"], len(answer["message"].encode())
    if answer["tokens"] or size > min(2**20, 4096 + 256 * most):
        raise ValueError("longer than it can be")
    said = len((message["content"] + message.get("reasoning_content", "")).encode()) + (len(one_form(message["tool_calls"]).encode()) if "tool_calls" in message else 0)
    if answer["usage"]["input"] > len(request["chat"].encode()) + 256 or answer["usage"]["output"] > min(most, said):
        raise ValueError("more tokens than there can be")


# --- spec/verify.md --------------------------------------------------------


def audit_rate(gain, power, pay, stake):
    at_risk = pay + stake
    if at_risk > MAX64 or gain == 0 or power * at_risk > MAX64:
        return 5_000
    if power * at_risk == 0:
        return 1_000_000
    return min(1_000_000, max(5_000, -(-gain * 1_500_000_000_000 // (power * at_risk))))


def compare(paid, got):
    for i in range(max(len(paid["tokens"]), len(got["tokens"]))):
        p, g = (a["tokens"][i] if i < len(a["tokens"]) else "end" for a in (paid, got))
        if p != g:
            return "disagree", i, p, g
        if paid.get("logprobs", [])[i : i + 1] != got.get("logprobs", [])[i : i + 1]:
            return "disagree", i, p, g
    if paid["finish"] != got["finish"]:
        return "disagree", len(paid["tokens"]), "end", "end"
    return "agree", None, None, None


def bundle(c):
    """Checks a bundle against a session's record; returns settled, model and price."""
    b, s, chain = read("bundle", bytes.fromhex(c["bundle"])), read("session", bytes.fromhex(c["record"])), c["chain"]
    if "unsettled" in b:
        r = b["unsettled"]["receipt"]
        if (r["chain"], r["session"]) != (chain, s["id"]) or not verified(s["provider_key"], "daulat/receipt", r, b["unsettled"]["sig"]):
            raise Refused
    else:
        if "claim" not in s or s["state"] not in ("settled", "released"):
            raise Refused
        pair(chain, s, s["claim"])
        r = s["claim"]["receipt"]
    t = b["transcript"]
    a, q = t["ask"], t["request"]
    if ((a["chain"], a["session"]) != (chain, s["id"]) or a["request"] != digest(sealed("daulat/request", q))
            or q["key"] != s["session_key"] or q["model"] != s["terms"]["model"]
            or not verified(s["session_key"], "daulat/ask", a, t["ask_sig"])):
        raise Refused
    if climb(r["seq"], t["index"], digest(sealed("daulat/leaf", leaf_of(t))), list(b["path"])) != r["root"]:
        raise Refused
    name = manifest(b["manifest"])[1]
    if name != cid_text(s["terms"]["model"].value[1:]):
        raise Refused
    return "unsettled" not in b, name, cost(s["price"], len(q["tokens"]), len(t["answer"]["tokens"]))


def verify(d):
    for c in d["audit"]:
        check(audit_rate(c["gain"], c["power"], c["pay"], c["stake"]) == c["rate"], f"audit rate {c}")
    for c in d["compare"]:
        want = c["outcome"], c.get("at"), c.get("paid_token"), c.get("got_token")
        check(compare(item(c["paid"]), item(c["got"])) == want, f"verdict {want}")
    for c in d["bundle"]:
        if c["sound"]:
            check(bundle(c) == (c["settled"], c["model"], c["price"]), f"bundle {c['name']}")
        else:
            refused(lambda: bundle(c), f"bundle, {c['name']}")


# --- spec/session.md -------------------------------------------------------


def session(d):
    for c in d["frame"]:
        item(c)
        frame = bytes.fromhex(c["frame"])
        check(frame == struct.pack(">I", len(frame) - 4) + bytes.fromhex(c["cbor"]), "frame")


# --- spec/sample.md --------------------------------------------------------


def table():
    decimal.getcontext().prec = 60
    step = decimal.Decimal(2) ** (decimal.Decimal(-1) / 4096)
    return [int((decimal.Decimal(2**40) * step**k).to_integral_value()) for k in range(4096)]


E = table()


def weight(d, t):
    x = (d * 1549082005 + t * 2**17) // (t * 2**18)
    return 0 if x // 4096 >= 41 else E[x % 4096] >> (x // 4096)


def fix(bits):
    v = struct.unpack(">f", struct.pack(">I", bits))[0] * 65536
    return max(-(2**31), min(2**31 - 1, round(v)))


def pick(logits, t, p, draw):
    top = max(logits)
    if t == 0:
        return logits.index(top)
    w = [weight(top - x, t) for x in logits]
    need, threshold, mass = -(-sum(w) * p // 10**6), 0, 0
    for threshold in sorted(set(w) - {0}, reverse=True):
        mass = sum(x for x in w if x >= threshold)
        if mass >= need:
            break
    target, running = draw * mass >> 64, 0
    for i, x in enumerate(w):
        running += x if x >= threshold else 0
        if running > target:
            return i


def log2(x):
    """In units of 2^-32, by squaring."""
    n = result = x.bit_length() - 1
    x <<= 63 - n
    for _ in range(32):
        y = x * x
        big = y >= 2**127
        result, x = 2 * result + big, y >> 63 + big
    return result


def nll(logits):
    """-ln of each token's probability, in units of 2^-16."""
    total = sum(weight(max(logits) - x, 65536) for x in logits)
    s = ((log2(total) - (40 << 32)) * 46516320 + 2**41) >> 42
    return [min(max(logits) - x + s, 2**32 - 1) for x in logits]


def close(got, logits):
    """Whether NLLs are as near to the real values as the bound says."""
    fall = [(max(logits) - x) / 65536 for x in logits]
    total = math.log(sum(math.exp(-x) for x in fall))
    return all(g == 2**32 - 1 or abs(g / 65536 - x - total) <= 1e-4 for g, x in zip(got, fall))


def sample(d):
    want = "cd7bdd04391882ba21444197a7909bdfe47aa723606fa5d24425d506286cd802"
    check(digest(b"".join(struct.pack("<Q", e) for e in E)).hex() == want, "table")
    for c in d["weight"]:
        check(weight(c["distance"], c["temperature"]) == int(c["weight"], 16), f"weight {c}")
    for c in d["fix"]:
        check(fix(int(c["float32_bits"], 16)) == c["fixed"], f"fixed point {c}")
    for c in d["draw"]:
        data = b"daulat/draw/1" + bytes.fromhex(c["seed"]) + bytes.fromhex(c["request"]) + struct.pack("<Q", int(c["position"], 16))
        check(struct.unpack("<Q", digest(data)[:8])[0] == int(c["draw"], 16), f"draw {c}")
    for c in d["pick"]:
        check(pick(c["logits"], c["temperature"], c["top_p"], int(c["draw"], 16)) == c["token"], f"pick {c}")
    for c in d["log2"]:
        check(log2(int(c["x"], 16)) == int(c["log2"], 16), f"logarithm {c}")
    for c in d["nll"]:
        order = sorted(range(len(c["logits"])), key=lambda i: (-c["logits"][i], i))
        check(nll(c["logits"]) == c["nll"] and order[:5] == c["likeliest"], f"log-probabilities {c}")
        check(close(c["nll"], c["logits"]), f"error of the log-probabilities {c}")


READERS = {"canon.json": canon, "artifact.json": artifact, "job.json": job, "receipt.json": receipts, "range.json": ranges,
           "verify.json": verify, "session.json": session, "sample.json": sample,
           "invite.json": welcome.invite}


def main():
    folder, failed = pathlib.Path(sys.argv[1]), 0
    names = {p.name for p in folder.iterdir()}
    for name in sorted(names | set(READERS)):
        before = forms.checks
        try:
            if name not in names or name not in READERS:
                raise AssertionError("the file is missing, or no reader knows it")
            READERS[name](json.loads((folder / name).read_text(encoding="utf-8")))
            print(f"{name}: {forms.checks - before} checks")
        except Exception as e:
            failed += 1
            print(f"{name}: FAILED after {forms.checks - before} checks: {type(e).__name__}: {e}")
    print(f"RESULT vectors files={len(READERS)} checks={forms.checks} failed={failed}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
