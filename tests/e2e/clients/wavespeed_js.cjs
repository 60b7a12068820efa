// Drives npm wavespeed 0.3.2 against a server: `node wavespeed_js.cjs MODULES BASE TOKEN PICTURE SLOW`.
// SLOW is the URL of a picture that takes a while.
// Prints one JSON line per operation: its name and, when it failed, why.

const assert = require("node:assert");
const crypto = require("node:crypto");
const fs = require("node:fs");
const { receiving } = require("./receiver.cjs");

const [modules, base, token, picture, slow] = process.argv.slice(2);
const { Client } = require(`${modules}/wavespeed`);

const PRO = "wavespeed-ai/flux-kontext-pro";
const DEV = "wavespeed-ai/flux-kontext-dev";
const client = new Client(token, { baseUrl: base });
const data = fs.readFileSync(picture);
const uri = `data:image/png;base64,${data.toString("base64")}`;

async function isPng(said, count = 1) {
  assert.strictEqual(said.outputs.length, count);
  for (const url of said.outputs) {
    assert.ok(url.startsWith(base), url);
    const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
    assert.strictEqual(bytes.subarray(1, 4).toString(), "PNG");
  }
}

const operations = {
  async run() {
    await isPng(await client.run(PRO, { prompt: "make it black and white", image: uri }));
  },
  async sync_mode() {
    const input = { prompt: "invert", images: [uri, uri] };
    await isPng(await client.run(`${PRO}/multi`, input, { enableSyncMode: true }));
  },
  async slow_picture() {
    await isPng(await client.run(PRO, { prompt: "invert", image: slow }, { pollInterval: 0.2 }));
  },
  async several_pictures() {
    const input = { prompt: "invert", image: uri, num_images: 2, output_format: "png" };
    await isPng(await client.run(DEV, input), 2);
  },
  async upload() {
    const url = await client.upload(picture);
    assert.ok(url.startsWith(base), url);
    const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
    assert.ok(bytes.equals(data));
    await isPng(await client.run(PRO, { prompt: "invert", image: url }));
  },
  async webhook() {
    const input = { prompt: "invert", image: uri };
    const { url, message } = await receiving();
    await isPng(await client.run(`${PRO}?webhook=${url}`, input));
    const { headers, body } = await message;
    const asked = { headers: { Authorization: `Bearer ${token}` } };
    const { data: told } = await (await fetch(`${base}/api/v3/webhook/secret`, asked)).json();
    const mac = crypto.createHmac("sha256", told.secret.slice("whsec_".length));
    mac.update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`).update(body);
    assert.strictEqual(headers["webhook-signature"], `v3,${mac.digest("hex")}`);
    assert.strictEqual(JSON.parse(body).status, "completed");
    await isPng(JSON.parse(body));
  },
  async failed() {
    const image = `data:image/png;base64,${Buffer.from("no picture").toString("base64")}`;
    await assert.rejects(client.run(PRO, { prompt: "invert", image }));
    const said = await client.runNoThrow(PRO, { prompt: "invert", image });
    assert.strictEqual(said.outputs, null);
    assert.strictEqual(said.detail.status, "failed");
  },
  async refusals() {
    await assert.rejects(client.run(PRO, { prompt: "x" }), /parameter image is missing/);
    await assert.rejects(client.run("wavespeed-ai/nothing", { prompt: "x" }), /model not found/);
  },
  async base_urls() {
    for (const baseUrl of [`${base}/`, `${base}/wavespeed`]) {
      const other = new Client(token, { baseUrl });
      await isPng(await other.run(PRO, { prompt: "invert", image: uri }));
    }
  },
};

(async () => {
  for (const [operation, perform] of Object.entries(operations)) {
    let error = null;
    try {
      await perform();
    } catch (caught) {
      error = String(caught && caught.stack ? caught.stack : caught);
    }
    console.log(JSON.stringify({ operation, error }));
  }
})();
