// Drives npm openai 6.49.0 against a server: `node openai_js.cjs MODULES BASE TOKEN PICTURE SLOW`.
// SLOW is the URL of a picture that takes a while.
// Prints one JSON line per operation: its name and, when it failed, why.

const assert = require("node:assert");
const fs = require("node:fs");
const zlib = require("node:zlib");

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

function rgbOf(png) {
  // The bytes of an 8-bit RGB file, as the server writes them: filtered rows, deflated (RFC 2083).
  const data = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    if (png.toString("latin1", at + 4, at + 8) === "IDAT") {
      data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
    }
  }
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const raw = zlib.inflateSync(Buffer.concat(data));
  const row = width * 3;
  const pixels = Buffer.alloc(row * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (row + 1)];
    for (let x = 0; x < row; x++) {
      const at = y * row + x;
      const left = x < 3 ? 0 : pixels[at - 3];
      const up = y === 0 ? 0 : pixels[at - row];
      const corner = x < 3 || y === 0 ? 0 : pixels[at - row - 3];
      const away = [left, up, corner].map((it) => Math.abs(left + up - corner - it));
      const paeth = [left, up, corner][away.indexOf(Math.min(...away))];
      const guess = [0, left, up, (left + up) >> 1, paeth][filter];
      pixels[at] = raw[y * (row + 1) + 1 + x] + guess;
    }
  }
  return { size: `${width}x${height}`, pixels };
}

async function shownWell(events, kind) {
  const said = [];
  for await (const it of await events) said.push(it);
  const final = said.pop();
  const types = said.map((it) => it.type);
  assert.deepStrictEqual(types, Array(3).fill(`${kind}.partial_image`));
  assert.deepStrictEqual(said.map((it) => it.partial_image_index), [0, 1, 2]);
  assert.strictEqual(final.type, `${kind}.completed`);
  assert.ok(final.usage.total_tokens > 0);
  const end = rgbOf(Buffer.from(final.b64_json, "base64"));
  assert.strictEqual(final.size, end.size);
  const far = said.map((it) => {
    const seen = rgbOf(Buffer.from(it.b64_json, "base64"));
    assert.strictEqual(seen.size, end.size);
    return seen.pixels.reduce((sum, value, at) => sum + Math.abs(value - end.pixels[at]), 0);
  });
  assert.ok(far[0] > far[1] && far[1] > far[2] && far[2] > 0, String(far));
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
    isPng(await client.images.generate({ model: "gpt-image-1", prompt: "a red kite", size: "256x256" }));
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
    const many = { image, prompt: "x", stream: true, partial_images: 4 };
    await assert.rejects(client.images.edit(many), param("partial_images"));
  },
  async failed() {
    const image = await toFile(Buffer.from("no picture"), "a.png");
    await assert.rejects(client.images.edit({ image, prompt: "x" }), (error) => {
      assert.strictEqual(error.code, "invalid_image_file");
      return error.headers.get("x-should-retry") === "false";
    });
  },
  async stream() {
    const image = await toFile(data, "a.png");
    const common = { model, prompt: "invert", stream: true, partial_images: 3 };
    const options = { ...common, seed: 1, num_inference_steps: 8 };
    await shownWell(client.images.edit({ ...options, image }), "image_edit");
    await shownWell(client.images.generate(options), "image_generation");
  },
  async stream_failed() {
    const image = await toFile(Buffer.from("no picture"), "a.png");
    const events = await client.images.edit({ model, image, prompt: "x", stream: true });
    await assert.rejects(async () => {
      for await (const it of events) assert.fail(it.type);
    }, /image/);
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
