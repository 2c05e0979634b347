"""Asks a declared model through a running node with PyPI's openai.

DAULAT_API and DAULAT_TOKEN say where the node is, the first argument names the
model. What is only possible there passes through: tools, the form of the answer.
"""

import json
import os
import sys

import openai

client = openai.OpenAI(base_url=os.environ["DAULAT_API"], api_key=os.environ["DAULAT_TOKEN"], max_retries=0, timeout=120)
model = sys.argv[1]
ASK = [{"role": "user", "content": "What is the capital of Indonesia?"}]
WEATHER = {"type": "function", "function": {"name": "weather", "description": "tells the weather of a city",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


def true(ok, what):
    if not ok:
        sys.exit(what)


def unaudited(daulat, what):
    true("unaudited" in daulat["label"], f"{what} does not say that it is unaudited: {daulat}")
    true(int(daulat["price_udlt"]) > 0 and daulat["receipt"], f"{what} lacks a receipt or a price: {daulat}")


def ask(**options):
    return client.chat.completions.create(model=model, temperature=0, **{"messages": ASK, "max_tokens": 24, **options})


listed = {m.id: m.model_extra["daulat"] for m in client.models.list()}
true(model in listed and "unaudited" in listed[model]["label"], f"{model} is not listed as unaudited: {listed}")

whole = ask()
text = whole.choices[0].message.content
true("Jakarta" in text, f"the answer is {text!r}")
true(0 < whole.usage.completion_tokens <= 24 and whole.usage.prompt_tokens > 5, f"usage is {whole.usage}")
unaudited(whole.model_extra["daulat"], "an answer")

events = list(ask(stream=True, stream_options={"include_usage": True}))
streamed = "".join(e.choices[0].delta.content or "" for e in events if e.choices)
true(streamed == text and len(events) > 4, f"streamed {streamed!r} in {len(events)} events, and told {text!r}")
unaudited(events[-1].model_extra["daulat"], "a stream")

short = ask(max_tokens=3)
true(short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 3, f"cut at {short.usage}")
word = text.split()[1]
stopped = ask(stop=word)
true(stopped.choices[0].finish_reason == "stop" and word not in stopped.choices[0].message.content, f"stopped at {stopped.choices[0]}")

form = {"type": "json_schema", "json_schema": {"name": "city", "schema": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"], "additionalProperties": False}}}
city = ask(response_format=form, max_tokens=64)
true(list(json.loads(city.choices[0].message.content)) == ["city"], f"the form is {city.choices[0].message.content!r}")

# Whether so small a model calls a tool is its own affair; that it hears of one, and
# of what the tool said, shows in the prompt.
weather = [{"role": "user", "content": "How is the weather in Bandung?"}]
call = {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bandung"}'}}]}
result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
plain, offered, called = (r.usage.prompt_tokens for r in (
    ask(messages=weather, max_tokens=4), ask(messages=weather, max_tokens=4, tools=[WEATHER]), ask(messages=weather + [call, result], max_tokens=4, tools=[WEATHER])))
true(plain < offered < called, f"tools do not reach the prompt: it has {plain}, {offered} and {called} tokens")

try:
    ask(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}]}])
    sys.exit("an image elsewhere was taken")
except openai.BadRequestError as e:
    true("data: URL" in e.message, f"an image elsewhere: {e}")

print(json.dumps({"text": text, "receipt": whole.model_extra["daulat"]["receipt"]}))
