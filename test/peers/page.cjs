// Uses the page as a person does, in Chromium, once in light and once in dark:
// asks, reads the answer come, verifies it, and catches a liar; or looks at the page
// of one that only sells, and earned something. Whatever the
// browser complains about (errors, blocked or failed requests, code that the
// policy forbids, another host asked) fails.
//
// DAULAT_PAGE is the address that `daulat up` printed, or DAULAT_SELLER the one that
// `daulat provide` did, CHROMIUM the browser's program, PICTURES a folder for what was seen.
"use strict";
const assert = require("node:assert/strict");
const path = require("node:path");
const { chromium } = require("playwright-core");

const patience = 90_000; // milliseconds for one thing to show on the page

// open shows a page, and finds fault with what the browser complains about.
async function open(browser, colorScheme, address) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 900, height: 1100 } });
  context.setDefaultTimeout(patience);
  const complaints = [];
  const complain = (what) => complaints.push(`${colorScheme}: ${what}`);
  const page = await context.newPage();
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && complain(m.text()));
  page.on("pageerror", (err) => complain(err.stack));
  // Of a stream that was read to its last event Chromium often says that it was
  // aborted; an answer that really is cut off shows so in its card.
  page.on("requestfailed", (r) => (r.url().endsWith("/chat/completions") && r.failure().errorText === "net::ERR_ABORTED") ||
    complain(`${r.url()}: ${r.failure().errorText}`));
  page.on("request", (r) => new URL(r.url()).host === new URL(address).host || complain(`asked ${r.url()}`));
  page.on("response", (r) => r.status() < 400 || complain(`${r.url()}: status ${r.status()}`));
  await page.exposeFunction("violated", (what) => complain(`the policy forbids ${what}`));
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (e) => window.violated(`${e.effectiveDirective} ${e.blockedURI}`)));

  await page.goto(address);
  await page.locator("#network.live").waitFor();
  assert(!page.url().includes("token"), "the token stays in the address");
  const done = async (name) => {
    await page.screenshot({ path: path.join(process.env.PICTURES, `${name}-${colorScheme}.png`), fullPage: true, animations: "disabled" });
    assert.deepEqual(complaints, []); // closing aborts what is under way
    await context.close();
  };
  return { page, done };
}

// sells looks at a seller's page.
async function sells(browser, colorScheme) {
  const { page, done } = await open(browser, colorScheme, process.env.DAULAT_SELLER);
  await page.locator("#days .bar").waitFor();
  assert.match(await page.locator("#sells").textContent(), /^Sells noise for [\d,]+ udlt in and 1,000 udlt out per 1,000 tokens\.$/);
  assert.equal(await page.locator("#state").textContent(), "Working: requests are taken.");
  assert.match(await page.locator("#audits").textContent(), /^Askers run [\d.]+ % of its answers again/);
  for (const not of ["#asking", "#liar", "#nothing", "#notice"]) assert(await page.locator(not).isHidden(), `a seller's page shows ${not}`);
  await done("seller");
}

async function visit(browser, colorScheme) {
  const { page, done } = await open(browser, colorScheme, process.env.DAULAT_PAGE);
  await page.fill("#question", "What can you tell me?");
  await page.click("#send:enabled");
  const answer = page.locator("#answers article").first();
  await answer.locator(".receipt").waitFor();
  assert((await answer.locator(".text").textContent()).trim(), "the answer is empty");
  assert(await answer.locator(".error").isHidden(), "the answer was cut off");
  assert.match(await answer.locator(".price").textContent(), /^[\d,]+ udlt( · cut at \d+ tokens)?$/);
  await answer.locator(".verify").click();
  await answer.locator(".verdict").waitFor();
  await verdict(answer, "agree");
  await page.locator("#earnings").waitFor();
  await page.locator("#days .bar").waitFor(); // today's alone
  assert.match(await page.locator("#days").getAttribute("aria-label"), /: \d{4}-\d\d-\d\d [\d,]+ udlt$/);
  const seen = { liar: await page.locator("#liar").isVisible(), ...(await page.evaluate(colours)) };
  if (seen.liar) {
    await page.click("#catch");
    await page.locator("#liar .verdict").waitFor();
    await verdict(page.locator("#liar"), "disagree");
  }
  await done("page");
  return seen;
}

// verdict wants exactly this one, and every step of the check shown.
async function verdict(card, want) {
  const shown = await card.locator(".verdict").getAttribute("class");
  assert(shown.split(" ").includes(want), `the verdict is "${shown}", want ${want}: ${await card.locator(".check").textContent()}`);
  const bad = await card.locator(".steps .bad").count();
  assert((await card.locator(".steps li").count()) > 0 && bad > 0 === (want === "disagree"), `the steps do not fit ${want}`);
}

// colours runs in the page: the brightness of text and of what lies behind it.
function colours() {
  const brightness = (colour) => colour.match(/[\d.]+/g).slice(0, 3).reduce((sum, c) => sum + Number(c), 0);
  const style = getComputedStyle(document.body), root = getComputedStyle(document.documentElement);
  const ground = [style, root].map((s) => s.backgroundColor).find((c) => !/, 0\)$/.test(c));
  return { text: brightness(style.color), ground: brightness(ground) };
}

async function main() {
  const sandbox = process.getuid() !== 0; // Chromium has none for root
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, chromiumSandbox: sandbox });
  try {
    if (process.env.DAULAT_SELLER) {
      for (const scheme of ["light", "dark"]) await sells(browser, scheme);
      return;
    }
    const light = await visit(browser, "light"), dark = await visit(browser, "dark");
    assert(light.liar && dark.liar, "the page has no liar to catch");
    assert(light.text < light.ground && dark.text > dark.ground, `text and ground: ${JSON.stringify({ light, dark })}`);
  } finally {
    await browser.close();
  }
}

main().catch((err) => {
  console.error(err.message);
  process.exit(1);
});
