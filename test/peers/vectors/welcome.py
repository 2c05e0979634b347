"""Invites (spec/invite.md): their machine and the line of text."""

import base64
import re

from forms import Refused, check, digest, item, read


def move(i, step):
    """Applies a step to invite i."""
    by, at = step.get("by"), step["at"]
    if step["event"] == "tick":
        if i["state"] == "open" and at >= i["expires"]:
            i.update(state="expired", ended=at)
        return
    if i["state"] != "open":
        raise Refused
    if step["event"] == "redeem":
        if at >= i["expires"] or by == i["inviter"]:
            raise Refused
        i.update(state="redeemed", guest=by, ended=at)
    elif by == i["inviter"]:
        i.update(state="revoked", ended=at)
    else:
        raise Refused


def line_kind(text):
    """Says what a line is, and returns what it holds if it is sound."""
    if len(text.encode()) > 8192:
        return "none", None
    text = "".join(text.split())
    start = re.match(r"daulat([1-9][0-9]{0,8})\.", text)
    if not start:
        return "none", None
    if start[1] != "1":
        return "newer", None
    text = text[start.end():]
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return "altered", None
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != text or len(raw) < 4 or digest(raw[:-4])[:4] != raw[-4:]:
        return "altered", None
    try:
        v = read("line", raw[:-4])
    except Exception:  # whatever is wrong inside
        return "malformed", None
    ok = (v["v"] == 1 and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}", v["chain"]) and any(v["genesis"]) and any(v["header"])
          and 0 < v["height"] < 2**63 and 0 < len(v["peers"]) <= 8 and v["grant"] and v["expires"]
          and all(len(p) <= 512 and re.fullmatch(r"(/[!-.0-~]+)+/p2p/[0-9A-Za-z]+", p) for p in v["peers"]))
    return ("sound", v) if ok else ("malformed", None)


def invite(d):
    for c in d["make"]:
        ok = 1 <= c["grant"] <= 1000 and 1 <= c["expires"] - 1000 <= 100 and c["open"] < 64
        check(ok == ("invite" in c), f"invite, {c['why']}")
        if ok:
            v = item(c["invite"])
            check((v["v"], v["grant"], v["expires"], v["made"], v["ended"], v["state"], v["guest"]) == (1, c["grant"], c["expires"], 1000, 0, "open", ""), "new invite")
    check(item(d["claim"][0])["key"].hex() == d["claim"][0]["signer"], "claim is signed by the invite's key")
    for name in (n for n in d if n.startswith("walk_")):
        state = item(d[name][0]["invite"])
        for step in d[name][1:]:
            try:
                move(state, step)
                check("refused" not in step, f"{name}: {step['event']} was refused there")
            except Refused:
                check("refused" in step, f"{name}: {step['event']} is refused here")
            check(state == item(step["invite"]), f"{name}: {step['event']} at {step['at']}")
            payee = {"open": None, "redeemed": state["guest"]}.get(state["state"], state["inviter"])
            check(payee == step.get("payee"), f"{name}: who has the grant after {step['event']} at {step['at']}")
    for c in d["line"]:
        check(line_kind(c["text"]) == ("sound", item(c["line"])), "line")
        again = bytes.fromhex(c["line"]["cbor"])
        text = "daulat1." + base64.urlsafe_b64encode(again + digest(again)[:4]).decode().rstrip("=")
        check("".join(c["text"].split()) == text, "text of a line")
    for c in d["line_refused"]:
        check(line_kind(c["text"])[0] == c["kind"], f"line with {c['why']}")
