// Drives npm openai 6.49.0 against a server: `node openai_js.cjs MODULES BASE TOKEN PICTURE SLOW`.
// SLOW is the URL of a picture that takes a while.
// Prints one JSON line per operation: its name and, when it failed, why.

const assert = require("node:assert");
const fs = require("node:fs");

const [modules, base, token, picture, slow] = process.argv.slice(2);
const { OpenAI, toFile } = require(`${modules}/openai`);

const client = new OpenAI({ apiKey: token, baseURL: `${base}/v1` });
const data = fs.readFileSync(picture);
const model = "gpt-image-1";

function isPng(answer, count = 1) {
  assert.strictEqual(answer.data.length, count);
  for (const it of answer.data) {
    const bytes = Buffer.from(it.b64_json, "base64");
    assert.strictEqual(bytes.subarray(1, 4).toString(), "PNG");
  }
}

const operations = {
  async edit() {
    const image = fs.createReadStream(picture);
    const answer = await client.images.edit({ model, image, prompt: "make it black and white" });
    isPng(answer);
    assert.ok(answer.usage.total_tokens > 0);
    assert.ok(answer._request_id);
  },
  async several_pictures() {
    const image = [await toFile(data, "a.png"), await toFile(data), fs.createReadStream(picture)];
    isPng(await client.images.edit({ model, image, prompt: "side by side", n: 2 }), 2);
  },
  async generate() {
    isPng(await client.images.generate({ model: "dall-e-3", prompt: "a red kite", size: "256x256" }));
  },
  async by_url() {
    const body = { model, prompt: "a red kite", response_format: "url" };
    const { url } = (await client.images.generate(body)).data[0];
    assert.ok(url.startsWith(base), url);
    assert.strictEqual((await fetch(url)).headers.get("content-type"), "image/png");
  },
  async json_body() {
    const body = { prompt: "invert", images: [{ image_url: slow }] };
    isPng(await client.post("/images/edits", { body }));
  },
  async models() {
    const names = [];
    for await (const it of client.models.list()) names.push(it.id);
    assert.ok(names.includes("flux-kontext"), String(names));
    await assert.rejects(client.models.retrieve("none"), (error) => error.code === "model_not_found");
  },
  async refusals() {
    const image = await toFile(data, "a.png");
    const param = (name) => (error) => error.status === 400 && error.param === name;
    await assert.rejects(client.images.edit({ image, prompt: "" }), param("prompt"));
    await assert.rejects(client.images.edit({ image, prompt: "x", stream: true }), param("stream"));
  },
  async failed() {
    const image = await toFile(Buffer.from("no picture"), "a.png");
    await assert.rejects(client.images.edit({ image, prompt: "x" }), (error) => {
      assert.strictEqual(error.code, "invalid_image_file");
      return error.headers.get("x-should-retry") === "false";
    });
  },
  async base_urls() {
    for (const baseURL of [`${base}/openai/v1`, `${base}/openai`, `${base}/v1/`]) {
      const other = new OpenAI({ apiKey: token, baseURL });
      const image = await toFile(data, "a.png");
      isPng(await other.images.edit({ model, image, prompt: "invert" }));
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
