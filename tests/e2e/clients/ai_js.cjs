// Drives generateImage of npm ai 6.0.326 through its providers for Replicate, fal, OpenAI and what
// is compatible with OpenAI: `node ai_js.cjs MODULES BASE TOKEN PICTURE`.
// Prints one JSON line per operation: its name and, when it failed, why.

const assert = require("node:assert");
const fs = require("node:fs");

const [modules, base, token, picture] = process.argv.slice(2);
const { generateImage } = require(`${modules}/ai`);
const { createReplicate } = require(`${modules}/@ai-sdk/replicate`);
const { createFal } = require(`${modules}/@ai-sdk/fal`);
const { createOpenAI } = require(`${modules}/@ai-sdk/openai`);
const { createOpenAICompatible } = require(`${modules}/@ai-sdk/openai-compatible`);

const data = fs.readFileSync(picture);
const grey = { text: "make it black and white", images: [data] };
const none = { text: "invert", images: [Buffer.from("no picture")] };

const replicate = createReplicate({ apiToken: token, baseURL: `${base}/v1` });
const fal = createFal({ apiKey: token, baseURL: `${base}/run` });
const openai = createOpenAI({ apiKey: token, baseURL: `${base}/v1` });
const compatible = createOpenAICompatible({
  name: "retouch", apiKey: token, baseURL: `${base}/v1`,
});
const pro = "black-forest-labs/flux-kontext-pro";
const kontext = "fal-ai/flux-pro/kontext";

async function made(model, prompt, { type = "image/png", count = 1, ...more } = {}) {
  const { images, ...about } = await generateImage({ model, prompt, maxRetries: 0, ...more });
  assert.deepStrictEqual(images.map((it) => it.mediaType), Array(count).fill(type));
  return { bytes: Buffer.from(images[0].uint8Array), ...about };
}

function isAsWideAsThePicture(png) {
  // Without a picture the answer would be a square.
  assert.ok(png.readUInt32BE(16) > 1.3 * png.readUInt32BE(20));
}

const operations = {
  async replicate_edit() {
    isAsWideAsThePicture((await made(replicate.image(pro), grey)).bytes);
  },
  async replicate_own_field() {
    const uri = `data:image/png;base64,${data.toString("base64")}`;
    const options = { input_image: uri, output_format: "jpg", maxWaitTimeInSeconds: 50 };
    const more = { type: "image/jpeg", providerOptions: { replicate: options } };
    await made(replicate.image(pro), "make it black and white", more);
  },
  async replicate_text_to_image() {
    await made(replicate.image(pro), "a red kite", { aspectRatio: "16:9", seed: 3 });
    await made(replicate.image(pro), "a red kite", { n: 2, count: 2 });
  },
  async replicate_refusals() {
    await assert.rejects(made(replicate.image(pro), "x", { aspectRatio: "17:3" }), /aspect_ratio/);
    await assert.rejects(made(replicate.image("nobody/nothing"), "x"), /nobody\/nothing/);
  },
  async fal_edit() {
    const { providerMetadata } = await made(fal.image(kontext), grey, { type: "image/jpeg" });
    assert.ok(providerMetadata.fal.images[0].width > 0);
  },
  async fal_options() {
    const options = { guidanceScale: 2.5, numInferenceSteps: 10, enableSafetyChecker: false,
      outputFormat: "png", syncMode: true };
    await made(fal.image("fal-ai/flux-kontext/dev"), grey, { providerOptions: { fal: options } });
  },
  async fal_several_pictures() {
    const prompt = { text: "side by side", images: [data, data] };
    const providerOptions = { fal: { useMultipleImages: true } };
    await made(fal.image(`${kontext}/multi`), prompt, { type: "image/jpeg", providerOptions });
  },
  async fal_text_to_image() {
    const model = fal.image(`${kontext}/text-to-image`);
    await made(model, "a red kite", { type: "image/jpeg", n: 2, count: 2, aspectRatio: "16:9" });
    const providerOptions = { fal: { aspect_ratio: "16:9", outputFormat: "png" } };
    const { bytes } = await made(model, "a red kite", { providerOptions });
    assert.ok(bytes.readUInt32BE(16) > 1.5 * bytes.readUInt32BE(20));
  },
  async fal_refusals() {
    await assert.rejects(made(fal.image(kontext), "x"), /image_url: Field required/);
    await assert.rejects(made(fal.image(kontext), none), /image_url: .*decoded/);
    await assert.rejects(made(fal.image("fal-ai/nothing"), "x"), /not found/);
  },
  async openai_edit() {
    const { bytes, providerMetadata } = await made(openai.image("gpt-image-1"), grey);
    isAsWideAsThePicture(bytes);
    assert.strictEqual(providerMetadata.openai.images[0].outputFormat, "png");
  },
  async openai_options() {
    const options = { quality: "high", background: "auto", outputFormat: "webp",
      outputCompression: 70, inputFidelity: "high", user: "anna" };
    const prompt = { text: "side by side", images: [data, data] };
    const more = { type: "image/webp", n: 2, count: 2, providerOptions: { openai: options } };
    await made(openai.image("gpt-image-1.5"), prompt, more);
  },
  async openai_text_to_image() {
    await made(openai.image("gpt-image-1"), "a red kite", { size: "256x256" });
    await made(openai.image("dall-e-3"), "a red kite", { size: "256x256" });
  },
  async openai_refusals() {
    const model = openai.image("gpt-image-1");
    await assert.rejects(made(model, none), /decoded/);
    await assert.rejects(made(model, { ...grey, mask: data }), /alpha channel/);
    await assert.rejects(made(model, "x", { size: "17x4000" }), /multiples of 16/);
  },
  async compatible_edit() {
    isAsWideAsThePicture((await made(compatible.imageModel("flux-kontext"), grey)).bytes);
    await made(compatible.imageModel("dall-e-2"), grey, { n: 2, count: 2 });
  },
  async compatible_text_to_image() {
    const providerOptions = { retouch: { seed: 3 } };
    await made(compatible.imageModel("flux-kontext"), "a red kite", { providerOptions });
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
