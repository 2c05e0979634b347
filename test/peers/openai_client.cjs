// Talks to a running node through npm's openai, as a JavaScript program would.
//
// The same checks, environment and output as openai_client.py.
"use strict";
const assert = require("node:assert/strict");
const OpenAI = require("openai");

const SAME = { seed: Number(process.env.DAULAT_SEED), temperature: 1, max_tokens: 40 };
const ASK = [{ role: "system", content: "Be brief." }, { role: "user", content: "Is this noise?" }];
const PROMPT = "Once upon a time";

const connect = (apiKey = process.env.DAULAT_TOKEN) =>
  new OpenAI({ baseURL: process.env.DAULAT_API, apiKey, maxRetries: 0, timeout: 60_000 });
const client = connect();
let model = "noise", manifest;

const chat = (options) => client.chat.completions.create({ model, messages: ASK, ...options });

// refused: the call must fail with the official class, status and codes.
async function refused(call, kind, status, code, param) {
  try {
    await call();
  } catch (e) {
    assert(e instanceof kind, e);
    assert.deepEqual([e.status, e.code, e.param], [status, code, param], kind.name);
    return e;
  }
  assert.fail(`a request that deserves ${kind.name} was served`);
}

// receipt: it is the same wherever the reply names it, and has a price.
function receipt(reply, fingerprint, response) {
  const d = reply.daulat, header = response.headers.get("daulat-receipt");
  assert.equal(d.receipt, header);
  assert(header && reply.id.endsWith("-" + header), `reply ID ${reply.id} does not name receipt ${header}`);
  assert.deepEqual([d.model_id, fingerprint], [manifest, manifest]);
  assert(BigInt(d.price_udlt) > 0n && d.label && d.provider, `receipt lacks a part: ${JSON.stringify(d)}`);
}

function counts(usage) {
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  return [usage.prompt_tokens, usage.completion_tokens];
}

// streamed reads a stream that ends with its usage.
async function streamed({ data, response }, text) {
  const chunks = [];
  for await (const chunk of data) chunks.push(chunk);
  const choices = chunks.flatMap((c) => c.choices), last = chunks.at(-1);
  assert.equal(choices.length, chunks.length - 1);
  assert.equal(last.choices.length, 0);
  assert.equal(choices.findIndex((c) => c.finish_reason !== null), choices.length - 1, "finish reason comes last");
  assert(chunks.slice(0, -1).every((c) => !c.usage), "usage came before the end");
  receipt(last, last.system_fingerprint, response);
  return [choices.map((c) => text(c) ?? "").join(""), choices.at(-1).finish_reason, counts(last.usage)];
}

async function chats() {
  const { data: whole, response } = await chat(SAME).withResponse();
  const { message, finish_reason } = whole.choices[0], used = counts(whole.usage);
  receipt(whole, whole.system_fingerprint, response);
  assert.deepEqual([whole.object, whole.model, message.role], ["chat.completion", model, "assistant"]);
  assert.deepEqual([finish_reason, used[1]], ["length", SAME.max_tokens]);

  const again = await chat(SAME);
  assert.equal(again.choices[0].message.content, message.content, "answer to the same seed");
  assert.notEqual(again.id, whole.id);
  assert.notEqual((await chat({ ...SAME, seed: SAME.seed + 1 })).choices[0].message.content, message.content, "two seeds gave one answer");
  const messages = ASK.map((m) => ({ ...m, content: [{ type: "text", text: m.content }] }));
  assert.equal((await chat({ ...SAME, messages })).choices[0].message.content, message.content, "content in parts");

  const stream = await chat({ ...SAME, stream: true, stream_options: { include_usage: true } }).withResponse();
  assert.deepEqual(await streamed(stream, (c) => c.delta.content), [message.content, "length", used], "streamed chat");
  let last;
  for await (last of await chat({ ...SAME, stream: true }));
  assert.equal(last.choices[0].finish_reason, "length");
  assert(!last.usage && last.daulat.receipt, "last chunk has usage or no receipt");
  for await (const _ of await chat({ stream: true })) break; // and leave
  return message.content;
}

async function ends() {
  const greedy = { ...SAME, temperature: 0 }; // where the stop strings have no part in the draws
  const answer = (await chat(greedy)).choices[0].message.content;
  const stop = answer.match(/[a-z]{3,}/g).at(-1);
  const cut = (await chat({ ...greedy, stop: [stop, "\u2603"] })).choices[0];
  assert.deepEqual([cut.message.content, cut.finish_reason], [answer.slice(0, answer.indexOf(stop)), "stop"], `stopped at ${stop}`);
  for (let seed = 0; seed < 40; seed++) {
    const { choices, usage } = await chat({ seed, temperature: 1, max_tokens: 256 });
    if (choices[0].finish_reason === "stop") return assert(counts(usage)[1] < 256);
  }
  assert.fail("no answer of 40 ended by itself");
}

async function completions() {
  const ask = { ...SAME, model, prompt: PROMPT };
  const { data: whole, response } = await client.completions.create(ask).withResponse();
  const { text, finish_reason } = whole.choices[0];
  receipt(whole, whole.system_fingerprint, response);
  assert.equal(whole.object, "text_completion");
  const stream = await client.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } }).withResponse();
  assert.deepEqual(await streamed(stream, (c) => c.text), [text, finish_reason, counts(whole.usage)], "streamed completion");
  return text;
}

// logprobs: whole and streamed answers show the same of each token.
async function logprobs() {
  const ask = { ...SAME, logprobs: true, top_logprobs: 3 };
  const whole = await chat(ask), shown = whole.choices[0].logprobs.content;
  assert.equal(shown.length, counts(whole.usage)[1], "tokens with log-probabilities");
  for (const t of shown) {
    assert.equal(t.top_logprobs.length, 3);
    assert(t.logprob <= t.top_logprobs[0].logprob && t.top_logprobs[0].logprob <= 0, JSON.stringify(t));
    assert.equal(Buffer.from(t.bytes).toString(), t.token);
  }
  const chunks = [];
  for await (const { choices } of await chat({ ...ask, stream: true })) chunks.push(...(choices[0].logprobs?.content ?? []));
  assert.deepEqual(chunks, shown, "streamed log-probabilities");
  assert.equal((await chat(SAME)).choices[0].logprobs, null);

  const completion = await client.completions.create({ ...SAME, model, prompt: PROMPT, logprobs: 0 });
  const { tokens, token_logprobs, top_logprobs } = completion.choices[0].logprobs;
  assert.equal(tokens.length, counts(completion.usage)[1]);
  tokens.forEach((t, i) => assert.deepEqual(top_logprobs[i], { [t]: token_logprobs[i] }));
}

async function errors() {
  await refused(() => connect("dlt-" + "0".repeat(64)).models.list(), OpenAI.AuthenticationError, 401, "invalid_api_key", null);
  await refused(() => chat({ model: "none" }), OpenAI.NotFoundError, 404, "model_not_found", "model");
  await refused(() => client.models.retrieve("none"), OpenAI.NotFoundError, 404, "model_not_found", "model");
  await refused(() => client.embeddings.create({ model, input: "x" }), OpenAI.NotFoundError, 404, "unknown_url", null);
  await refused(() => chat({ temperature: 3 }), OpenAI.BadRequestError, 400, null, "temperature");
  await refused(() => chat({ n: 2 }), OpenAI.BadRequestError, 400, null, "n");
  await refused(() => chat({ top_logprobs: 2 }), OpenAI.BadRequestError, 400, null, "top_logprobs");
  const long = [{ role: "user", content: "word ".repeat(100_000) }];
  await refused(() => chat({ messages: long }), OpenAI.BadRequestError, 400, "context_length_exceeded", "messages");
}

async function main() {
  if (process.argv[2] === "busy") {
    const e = await refused(() => chat(), OpenAI.RateLimitError, 429, "rate_limit_exceeded", null);
    return assert(Number(e.headers.get("retry-after")) >= 1, "no time to wait in Retry-After");
  }
  const { data } = await client.models.list();
  assert.equal(data.length, 1);
  model = data[0].id;
  manifest = data[0].daulat.model_id;
  assert.equal((await client.models.retrieve(model)).daulat.model_id, manifest);
  const answer = await chats();
  await ends();
  const completion = await completions();
  await logprobs();
  await errors();
  console.log(JSON.stringify({ chat: answer, completion }));
}

main().catch((err) => {
  console.error(err.message);
  process.exit(1);
});
