// Drives npm replicate 1.4.0 against a server: `node replicate_js.cjs MODULES BASE TOKEN PICTURE SLOW`.
// SLOW is the URL of a picture that takes a while.
// Prints one JSON line per operation: its name and, when it failed, why.

const assert = require("node:assert");
const fs = require("node:fs");
const net = require("node:net");
const { receiving } = require("./receiver.cjs");

const [modules, base, token, picture, slow] = process.argv.slice(2);
const Replicate = require(`${modules}/replicate`);

const PRO = "black-forest-labs/flux-kontext-pro";
const DEV = "black-forest-labs/flux-kontext-dev";
const LIST = "flux-kontext-apps/multi-image-list";
const client = new Replicate({ auth: token, baseUrl: `${base}/v1` });
const data = fs.readFileSync(picture);
const uri = `data:image/png;base64,${data.toString("base64")}`;

async function isPng(output) {
  assert.ok(String(output).startsWith(base), String(output));
  const source = typeof output === "string" ? await fetch(output) : await output.blob();
  const bytes = Buffer.from(await source.arrayBuffer());
  assert.strictEqual(bytes.subarray(1, 4).toString(), "PNG");
}

const operations = {
  async run() {
    const output = await client.run(PRO, { input: { prompt: "invert", input_image: uri } });
    // A file object only over TLS.
    assert.strictEqual(typeof output === "string", base.startsWith("http:"));
    await isPng(output);
  },
  async run_by_version() {
    const model = await client.models.get("black-forest-labs", "flux-kontext-pro");
    const ref = `${PRO}:${model.latest_version.id}`;
    await isPng(await client.run(ref, { input: { prompt: "invert", input_image: uri } }));
  },
  async run_polling() {
    const input = { prompt: "invert", input_image: uri };
    await isPng(await client.run(PRO, { input, wait: { mode: "poll", interval: 200 } }));
  },
  async create_poll_fetch() {
    const input = { prompt: "make it black and white", input_image: uri, seed: 7 };
    const made = await client.predictions.create({ model: PRO, input });
    assert.strictEqual(made.status, "starting");
    const done = await client.wait(made, { interval: 200 });
    assert.strictEqual(done.status, "succeeded", done.error);
    assert.ok(done.logs.includes("Using seed: 7"), done.logs);
    assert.ok(done.metrics.total_time > 0);
    await isPng(done.output);
  },
  async upload() {
    const file = await client.files.create(data, { by: { whom: "me" } });
    assert.strictEqual(file.content_type, "image/png");
    assert.deepStrictEqual(file.metadata, { by: { whom: "me" } });
    assert.strictEqual((await client.files.list()).results[0].id, file.id);
    const input = { prompt: "invert", input_image: file.urls.get };
    await isPng(await client.run(PRO, { input }));
    assert.strictEqual(await client.files.delete(file.id), true);
    await assert.rejects(client.files.get(file.id), /404/);
  },
  async file_objects() {
    const input_images = [data, new Blob([data], { type: "image/png" })];
    await isPng(await client.run(LIST, { input: { prompt: "side by side", input_images } }));
  },
  async data_uri() {
    const input = { prompt: "invert", input_image: uri };
    const made = await client.predictions.create({ version: PRO, input });
    assert.strictEqual(made.input.input_image, uri);
    await isPng((await client.wait(made, { interval: 200 })).output);
  },
  async wait_expiry() {
    const input = { prompt: "invert", input_image: slow, output_format: "png" };
    const made = await client.predictions.create({ model: DEV, input, wait: 1 });
    assert.strictEqual(made.status, "starting");
    await isPng((await client.wait(made, { interval: 200 })).output);
  },
  async cancel() {
    const input = { prompt: "invert", input_image: slow };
    const made = await client.predictions.create({ model: DEV, input });
    assert.strictEqual((await client.predictions.cancel(made.id)).status, "canceled");
    assert.strictEqual((await client.predictions.get(made.id)).status, "canceled");
  },
  async broken_connection() {
    const { hostname, port, protocol } = new URL(base);
    let seen = 0;
    const between = net.createServer((near) => {
      const far = net.connect(port, hostname);
      near.pipe(far).on("error", () => near.destroy());
      far.pipe(near).on("error", () => far.destroy());
      near.on("close", () => far.destroy());
      seen += 1;
      if (seen === 1) setTimeout(() => near.resetAndDestroy(), 700);
    });
    await new Promise((resolve) => { between.listen(0, "127.0.0.1", resolve); });
    const baseUrl = `${protocol}//127.0.0.1:${between.address().port}/v1`;
    const other = new Replicate({ auth: token, baseUrl });
    const prompt = `invert ${Date.now()}`;
    await other.run(DEV, { input: { prompt, input_image: slow, output_format: "png" } });
    between.close();
    assert.ok(seen > 1, "the client sent its create again");
    const { results } = await client.predictions.list();
    assert.strictEqual(results.filter((it) => it.input.prompt === prompt).length, 1);
  },
  async failed() {
    const broken = `data:image/png;base64,${Buffer.from("no picture").toString("base64")}`;
    const input = { prompt: "invert", input_image: broken };
    await assert.rejects(client.run(PRO, { input }), /Prediction failed: \S/);
  },
  async two_pages() {
    const ids = new Set();
    for await (const page of client.paginate(client.predictions.list)) {
      for (const it of page) ids.add(it.id);
      if (ids.size > 100) break;
    }
    assert.ok(ids.size > 100, String(ids.size));
  },
  async stream() {
    const events = [];
    const input = { prompt: "invert", input_image: uri };
    for await (const event of client.stream(PRO, { input })) events.push(event);
    assert.deepStrictEqual(events.map((it) => it.event), ["output", "done"]);
  },
  async webhook() {
    const { url: webhook, message } = await receiving();
    const input = { prompt: "invert", input_image: uri };
    const made = await client.predictions.create({ model: PRO, input, webhook });
    const { headers, body: raw } = await message;
    const body = raw.toString();
    const { key } = await client.webhooks.default.secret.get();
    assert.ok(await Replicate.validateWebhook({ headers, body }, key), "the signature");
    assert.ok(!(await Replicate.validateWebhook({ headers, body: `${body} ` }, key)));
    assert.strictEqual(JSON.parse(body).id, made.id);
  },
  async base_urls() {
    for (const baseUrl of [base, `${base}/replicate`, `${base}/replicate/v1`]) {
      const other = new Replicate({ auth: token, baseUrl });
      await isPng(await other.run(PRO, { input: { prompt: "invert", input_image: uri } }));
    }
  },
  async progress_and_search() {
    const found = await client.models.search("multi list");
    assert.strictEqual(found.results[0].name, "multi-image-list");
    const done = (await client.predictions.list()).results.find((it) => it.status === "succeeded");
    assert.ok(done.urls.web.startsWith(base));
  },
  async refusals() {
    await assert.rejects(client.run(PRO, { input: {} }), /prompt is required/);
    await assert.rejects(client.run(PRO, { input: { prompt: "x", seed: "a" } }), /integer/);
    await assert.rejects(client.predictions.get("nothing"), /not found/);
    const broken = new Replicate({
      auth: token, baseUrl: `${base}/v1`, fileEncodingStrategy: "data-uri",
    });
    await assert.rejects(broken.run(PRO, { input: { prompt: "x", input_image: data } }), (error) => {
      assert.match(error.message, /prompt is required/);
      assert.ok(!error.message.includes(token), "the token came back");
      return true;
    });
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
