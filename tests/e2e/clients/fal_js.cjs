// Drives npm @fal-ai/client 1.10.1 against a server: `node fal_js.cjs MODULES BASE TOKEN PICTURE SLOW`.
// SLOW is the URL of a picture that takes a while.
// Prints one JSON line per operation: its name and, when it failed, why.

const assert = require("node:assert");
const crypto = require("node:crypto");
const fs = require("node:fs");
const { receiving } = require("./receiver.cjs");

const [modules, base, token, picture, slow] = process.argv.slice(2);
const { createFalClient } = require(`${modules}/@fal-ai/client`);

const PRO = "fal-ai/flux-pro/kontext";
const MULTI = "fal-ai/flux-pro/kontext/max/multi";
const DEV = "fal-ai/flux-kontext/dev";
const PREFIXES = {
  "https://queue.fal.run": "/queue",
  "https://fal.run": "/run",
  "https://rest.fal.ai": "/rest",
};

function rewritten(url) {
  const { origin } = new URL(url);
  return PREFIXES[origin] === undefined ? url : url.replace(origin, base + PREFIXES[origin]);
}

const client = createFalClient({
  credentials: token,
  requestMiddleware: async (request) => ({ ...request, url: rewritten(request.url) }),
});
const data = fs.readFileSync(picture);
const uri = `data:image/png;base64,${data.toString("base64")}`;
const input = { prompt: "make it black and white", image_url: uri };

async function isJpeg(result, count = 1) {
  assert.strictEqual(result.data.images.length, count);
  assert.match(result.requestId, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  for (const image of result.data.images) {
    assert.ok(image.url.startsWith(base), image.url);
    const bytes = Buffer.from(await (await fetch(image.url)).arrayBuffer());
    assert.strictEqual(bytes.subarray(0, 3).toString("hex"), "ffd8ff");
  }
}

const operations = {
  async run() {
    await isJpeg(await client.run(PRO, { input }));
  },
  async subscribe() {
    const seen = [];
    const result = await client.subscribe(MULTI, {
      input: { prompt: "side by side", image_urls: [uri, uri] },
      logs: true,
      pollInterval: 100,
      priority: "low",
      onQueueUpdate: (status) => seen.push(status),
    });
    assert.strictEqual(seen.at(-1).status, "COMPLETED");
    assert.ok(seen.at(-1).logs.some((line) => line.message.includes("seed")), "its log");
    await isJpeg(result);
  },
  async subscribe_streaming() {
    const seen = [];
    const options = { input, logs: true, mode: "streaming", connectionMode: "server" };
    const onQueueUpdate = (status) => seen.push(status.status);
    await isJpeg(await client.subscribe(PRO, { ...options, onQueueUpdate }));
    assert.strictEqual(seen.at(-1), "COMPLETED");
  },
  async submit_poll_fetch() {
    const made = await client.queue.submit(PRO, { input: { ...input, seed: 7, num_images: 2 } });
    assert.strictEqual(made.status, "IN_QUEUE");
    const requestId = made.request_id;
    const done = await client.queue.subscribeToStatus(PRO, { requestId, pollInterval: 100 });
    assert.strictEqual(done.status, "COMPLETED");
    assert.ok(done.metrics.inference_time >= 0);
    const result = await client.queue.result(PRO, { requestId });
    assert.strictEqual(result.data.seed, 7);
    await isJpeg(result, 2);
  },
  async upload() {
    const file = new File([data], "cat.png", { type: "image/png" });
    const url = await client.storage.upload(file);
    assert.ok(url.startsWith(`${base}/files/signed/`), url);
    assert.ok(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(data));
    await isJpeg(await client.run(PRO, { input: { prompt: "invert", image_url: url } }));
  },
  async file_objects() {
    const image_urls = [new Blob([data], { type: "image/png" }), uri];
    await isJpeg(await client.run(MULTI, { input: { prompt: "side by side", image_urls } }));
  },
  async upload_in_parts() {
    const filler = Buffer.alloc(91 * 1024 * 1024, 7);
    const url = await client.storage.upload(new File([data, filler], "large.png"));
    const answer = await fetch(url, { headers: { range: `bytes=0-${data.length - 1}` } });
    assert.strictEqual(answer.status, 206);
    assert.ok(answer.headers.get("content-range").endsWith(`/${data.length + filler.length}`));
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(data));
  },
  async sync_mode() {
    const result = await client.run(PRO, { input: { ...input, sync_mode: true } });
    assert.ok(result.data.images[0].url.startsWith("data:image/jpeg;base64,/9j/"));
  },
  async stream() {
    const streaming = await client.stream(DEV, { input, connectionMode: "server" });
    await isJpeg({ data: await streaming.done(), requestId: streaming.requestId });
  },
  async proxy() {
    const proxyUrl = { url: `${base}/api/fal/proxy`, when: "always" };
    const behind = createFalClient({ credentials: token, proxyUrl });
    const file = new File([data], "cat.png", { type: "image/png" });
    const fields = { prompt: "invert", image_url: file };
    await isJpeg(await behind.subscribe(PRO, { input: fields, pollInterval: 100 }));
  },
  async cancel() {
    const fields = { prompt: "invert", image_url: slow };
    const { request_id: requestId } = await client.queue.submit(DEV, { input: fields });
    await client.queue.cancel(DEV, { requestId });
    const status = await client.queue.status(DEV, { requestId });
    assert.strictEqual(status.status, "COMPLETED");
    await assert.rejects(client.queue.result(DEV, { requestId }), { status: 499 });
    await assert.rejects(client.queue.cancel(DEV, { requestId }), { status: 400 });
  },
  async webhook() {
    const { url: webhookUrl, message: arrived } = await receiving();
    const made = await client.queue.submit(PRO, { input, webhookUrl });
    const { headers, body } = await arrived;
    const [id, user, stamp, signature] = ["request-id", "user-id", "timestamp", "signature"].map(
      (name) => headers[`x-fal-webhook-${name}`],
    );
    const digest = crypto.createHash("sha256").update(body).digest("hex");
    const { keys } = await (await fetch(`${base}/rest/.well-known/jwks.json`)).json();
    const key = crypto.createPublicKey({ key: keys[0], format: "jwk" });
    const message = Buffer.from([id, user, stamp, digest].join("\n"));
    assert.ok(crypto.verify(null, message, key, Buffer.from(signature, "hex")), "the signature");
    const said = JSON.parse(body);
    assert.strictEqual(said.request_id, made.request_id);
    assert.strictEqual(said.status, "OK");
    assert.ok(said.payload.images[0].url.startsWith(base));
  },
  async failed() {
    const broken = `data:image/png;base64,${Buffer.from("no picture").toString("base64")}`;
    const fields = { prompt: "invert", image_url: broken };
    await assert.rejects(client.subscribe(PRO, { input: fields, pollInterval: 100 }), (error) => {
      assert.strictEqual(error.status, 422);
      assert.match(error.message, /could not be decoded/);
      return true;
    });
  },
  async refusals() {
    await assert.rejects(client.queue.submit(PRO, { input: { ...input, num_images: 9 } }), (error) => {
      assert.strictEqual(error.name, "ValidationError");
      assert.strictEqual(error.fieldErrors[0].loc[1], "num_images");
      assert.match(error.message, /num_images/);
      return true;
    });
    const requestId = "00000000-0000-4000-8000-000000000000";
    await assert.rejects(client.queue.status(PRO, { requestId }), { status: 404 });
  },
};

(async () => {
  for (const [operation, perform] of Object.entries(operations)) {
    let error = null;
    try {
      await perform();
    } catch (problem) {
      error = problem.stack || String(problem);
    }
    console.log(JSON.stringify({ operation, error }));
  }
  process.exit(0);
})();
