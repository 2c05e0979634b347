"use strict";
const $ = (id) => document.getElementById(id);

// The token comes in the fragment, which is never sent, and leaves the address at once.
const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.has("token")) {
  sessionStorage.setItem("token", fragment.get("token"));
  history.replaceState(null, "", location.pathname + location.search);
}
const token = sessionStorage.getItem("token");

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

async function call(path, body, signal) {
  const reply = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: { Authorization: "Bearer " + token, "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  }).catch((err) => { throw err.name === "AbortError" ? err : new Error("The node does not answer."); });
  if (reply.ok) return reply;
  if (reply.status === 401) notice("Open the address that “daulat status” shows: it carries the key to this page.");
  const { error } = await reply.json().catch(() => ({ error: { message: "The node refused: " + reply.status } }));
  throw Object.assign(new Error(error.message), { status: reply.status });
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

// udlt shows an amount, a decimal string, without rounding.
const udlt = (amount) => BigInt(amount).toLocaleString("en") + " udlt";

function element(tag, className, text) {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text ?? "";
  return e;
}

// events yields the JSON of each server-sent event.
async function* events(reply) {
  let rest = "";
  for (const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The answer was cut off.");
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const data of parts.map((p) => p.replace(/^data: /, ""))) {
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

let running = null;
async function ask(question) {
  const card = $("answer").content.cloneNode(true).firstElementChild;
  const part = (name) => card.querySelector("." + name);
  part("question").textContent = question;
  part("text").classList.add("writing");
  $("answers").prepend(card);
  running = new AbortController();
  $("send").textContent = "Stop";
  try {
    let finish;
    const body = { model: $("model").value, stream: true, temperature: 0, stream_options: { include_usage: true }, messages: [{ role: "user", content: question }] };
    for await (const chunk of events(await call("/v1/chat/completions", body, running.signal))) {
      if (chunk.error) throw new Error(chunk.error.message);
      part("text").append(chunk.choices[0]?.delta.content ?? "");
      finish = chunk.choices[0]?.finish_reason ?? finish;
      if (!chunk.daulat) continue;
      receipt(card, part, chunk.model, chunk.daulat);
      if (finish === "length") part("price").append(` · cut at ${chunk.usage.completion_tokens} tokens`);
    }
  } catch (err) {
    part("error").textContent = err.name === "AbortError" ? "Stopped." : sentence(err.message);
    part("error").hidden = false;
  }
  part("text").classList.remove("writing");
  running = null;
  $("send").textContent = "Ask";
  refresh();
}

function receipt(card, part, model, d) {
  part("model").textContent = d.label ? `${model} · ${d.label}` : model;
  part("model").title = d.model_id;
  part("price").textContent = udlt(d.price_udlt);
  part("id").textContent = d.receipt;
  part("receipt").hidden = false;
  part("verify").onclick = () => check(card, part("verify"), "Checking the answer again…", "/daulat/v1/verify", { receipt: d.receipt });
}

const verdicts = { agree: "The answer is genuine", disagree: "Caught: this is not what the model says", inconclusive: "The check could not decide" };

// check asks the node for a check and shows its steps, one after the other.
async function check(card, button, waiting, path, body) {
  const box = card.querySelector(".check");
  box.replaceChildren(element("p", "quiet writing", waiting));
  button.disabled = true;
  try {
    const result = await (await call(path, body)).json();
    const steps = element("ol", "steps");
    (result.steps ?? []).forEach((step, i) => {
      const item = element("li", `${step.ok ? "ok" : "bad"} d${Math.min(i, 9)}`);
      item.append(element("span", "hidden", step.ok ? "passed: " : "failed: "), element("strong", "", step.name), element("span", "quiet", step.detail));
      steps.append(item);
    });
    const verdict = element("div", `verdict ${result.verdict} d${Math.min(steps.children.length, 9)}`);
    verdict.append(element("strong", "", verdicts[result.verdict] ?? result.verdict), element("p", "", sentence(result.summary || "")));
    const ids = [result.label || result.model, result.model_id && "model " + result.model_id, result.receipt && "receipt " + result.receipt];
    verdict.append(element("p", "quiet code", ids.filter(Boolean).join("\n")));
    box.replaceChildren(steps, verdict);
  } catch (err) {
    box.replaceChildren(element("p", "error", sentence(err.message)));
    if (err.status === 501) card.hidden = true;
  }
  button.disabled = false;
  refresh();
}

async function refresh() {
  try {
    const s = await (await call("/daulat/v1/status")).json();
    notice("");
    $("network").textContent = `${s.network.chain} · block ${s.network.height.toLocaleString("en")}`;
    $("network").classList.add("live");
    $("wallet").textContent = `Wallet ${udlt(s.wallet.balance_udlt)}`;
    $("wallet").title = s.wallet.account;
    $("worthless").hidden = !s.network.test;
    $("liar").hidden = !s.liar;
    $("earnings").hidden = !s.provider;
    if (s.provider) machine(s.provider);
    if (s.asks && $("asking").hidden) {
      $("asking").hidden = false;
      $("question").focus();
    }
    if (s.asks && !$("model").length) await models(); // a node that just started finds them later
  } catch (err) {
    $("network").textContent = "not connected";
    $("network").classList.remove("live");
    if (err.status !== 401) notice(sentence(err.message));
  }
}

function machine(p) {
  for (const name of ["earned", "released", "withheld"]) $(name).textContent = udlt(p[name + "_udlt"]);
  $("requests").textContent = p.requests.toLocaleString("en");
  $("state").textContent = sentence(p.state);
  const [first] = p.sells ?? [];
  $("sells").textContent = first ? sentence(`sells ${p.sells.map((m) => m.model).join(", ")} for ${udlt(first.input_udlt)} in and ${udlt(first.output_udlt)} out per 1,000 tokens`) : "";
  $("sells").title = first ? first.label : "";
  $("audits").textContent = sentence(p.audits.replace(/\d{4,}/g, (n) => BigInt(n).toLocaleString("en")));
  $("nothing").hidden = p.earned_udlt !== "0";
  $("days").toggleAttribute("hidden", p.earned_udlt === "0");
  plot(p.days);
}

function drawn(tag, attributes, text) {
  const e = document.createElementNS($("days").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.textContent = text ?? "";
  return e;
}

// plot draws a bar for each day, as high as its share of the best one, over the
// first and the last date.
function plot(days) {
  const best = days.reduce((most, d) => Math.max(most, Number(d.earned_udlt)), 1);
  const step = 420 / days.length;
  const bars = days.map((d, i) => {
    const high = Math.max(Number(d.earned_udlt) / best * 60, d.earned_udlt === "0" ? 1 : 3);
    const bar = drawn("rect", { x: i * step + 3, y: 64 - high, width: step - 6, height: high, rx: 2, class: d.earned_udlt === "0" ? "none" : "bar" });
    bar.append(drawn("title", {}, `${d.day}: ${udlt(d.earned_udlt)}`));
    return bar;
  });
  const note = (text, x, anchor) => drawn("text", { x, y: 80, "text-anchor": anchor }, text);
  $("days").setAttribute("aria-label", "Earned by the day (UTC): " + days.filter((d) => d.earned_udlt !== "0").map((d) => `${d.day} ${udlt(d.earned_udlt)}`).join(", "));
  $("days").replaceChildren(...bars, note(days[0].day, 3, "start"), note(`each day, up to ${udlt(best)}`, 210, "middle"), note(days.at(-1).day, 417, "end"));
}

async function models() {
  const { data } = await (await call("/v1/models")).json();
  $("model").replaceChildren(...data.map((m) => new Option(m.daulat.label ? `${m.id} · ${m.daulat.label}` : m.id, m.id)));
  $("send").disabled = data.length === 0;
}

$("ask").onsubmit = (event) => {
  event.preventDefault();
  if (running) return running.abort();
  const question = $("question").value.trim();
  if (!question) return;
  $("question").value = "";
  ask(question);
};
$("question").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!running) $("ask").requestSubmit(); // Enter never stops an answer
};
$("catch").onclick = () => check($("liar"), $("catch"), "Asking the liar, then checking…", "/daulat/v1/liar", {});

refresh();
setInterval(() => { if (!document.hidden) refresh(); }, 5000);
