// Drives npm @ai-sdk/black-forest-labs 1.0.33 against a server:
// `node bfl_js.cjs MODULES BASE TOKEN PICTURE SLOW`, SLOW the URL of a picture that takes a while.
// Prints one JSON line per operation: its name and, when it failed, why.

const assert = require("node:assert");
const crypto = require("node:crypto");
const fs = require("node:fs");
const { receiving } = require("./receiver.cjs");

const [modules, base, token, picture, slow] = process.argv.slice(2);
const { createBlackForestLabs } = require(`${modules}/@ai-sdk/black-forest-labs`);
const { generateImage } = require(`${modules}/ai`);

const data = fs.readFileSync(picture);
const provider = (path) => createBlackForestLabs({ apiKey: token, baseURL: `${base}${path}` });

async function made(prompt, { path = "/v1", name = "flux-kontext-pro", maxRetries = 0, ...more } = {}) {
  const model = provider(path).image(name);
  const answer = await generateImage({ model, prompt, maxRetries, ...more });
  const bytes = Buffer.from(answer.image.uint8Array);
  return { bytes, about: answer.providerMetadata.blackForestLabs.images[0] };
}

async function isPng(prompt, options) {
  const { bytes, about } = await made(prompt, options);
  assert.strictEqual(bytes.subarray(1, 4).toString(), "PNG");
  return about;
}

const operations = {
  async run() {
    const about = await isPng({ text: "make it black and white", images: [data] }, { seed: 7 });
    assert.strictEqual(about.seed, 7);
    assert.strictEqual(about.cost, 0);
    assert.ok(about.duration >= 0);
  },
  async text_to_image() {
    await isPng("a red kite", { aspectRatio: "16:9" });
    await isPng("a red kite", { size: "1366x768" });
  },
  async every_model() {
    for (const name of ["flux-kontext-max", "flux-kontext-dev"]) {
      await isPng({ text: "invert", images: [data] }, { name });
    }
  },
  async several_pictures() {
    await isPng({ text: "side by side", images: [data, data, slow] });
  },
  async options() {
    const blackForestLabs = {
      outputFormat: "jpeg", safetyTolerance: 6, promptUpsampling: true, steps: 4, guidance: 3,
    };
    const { bytes } = await made("a kite", { providerOptions: { blackForestLabs } });
    assert.strictEqual(bytes.subarray(0, 2).toString("hex"), "ffd8");
  },
  async webhook() {
    const { url: webhookUrl, message } = await receiving();
    const blackForestLabs = { webhookUrl, webhookSecret: "a secret" };
    await isPng("a kite", { providerOptions: { blackForestLabs } });
    const { headers, body } = await message;
    const mac = crypto.createHmac("sha256", "a secret").update(body).digest("hex");
    assert.strictEqual(headers["x-bfl-signature"], `sha256=${mac}`);
    assert.strictEqual(JSON.parse(body).status, "Ready");
    assert.ok(JSON.parse(body).result.sample.startsWith(base));
  },
  async failed() {
    const images = [Buffer.from("no picture")];
    await assert.rejects(made({ text: "invert", images }), /generation failed/);
  },
  async refusals() {
    const images = [data, data, data, data, data];
    await assert.rejects(made({ text: "x", images }), /input_image_5/);
    const blackForestLabs = { webhookUrl: "ftp://hook.example/" };
    await assert.rejects(made("x", { providerOptions: { blackForestLabs } }), /webhook_url/);
  },
  async base_urls() {
    for (const path of ["/bfl/v1", "/bfl", "/v1/"]) {
      await isPng({ text: "invert", images: [data] }, { path });
    }
  },
};

(async () => {
  for (const [operation, perform] of Object.entries(operations)) {
    let error = null;
    try {
      await perform();
    } catch (reason) {
      error = String(reason?.stack ?? reason);
    }
    console.log(JSON.stringify({ operation, error }));
  }
})();
