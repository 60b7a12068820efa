// A webhook's receiver for the drivers: where it listens, and the one message that comes.

const http = require("node:http");

async function receiving() {
  let resolve;
  const message = new Promise((settled) => (resolve = settled));
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      response.end();
      server.close();
      resolve({ headers: request.headers, body: Buffer.concat(chunks) });
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { url: `http://127.0.0.1:${server.address().port}/done?a=b&c=d`, message };
}

module.exports = { receiving };
