// A real Chromium, and pages of any origin in it that have axios. Whatever a page calls, the browser reaches the
// gateway, the server of these pages, or nothing: all names lead to loopback or nowhere.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

/** Where the documented page finds the gateway. */
export const GATEWAY = 'http://localhost:8000';
/** The name of the cookie. */
const COOKIE = 'fastapiusersauth';
/** When a script that hangs ends, and its browser with it. */
const LIMIT = 50_000;

const FILES = {
  '/': ['text/html', `<script type="module">
    import axios from '/axios.js';
    import { logged } from '/logged.mjs';
    axios.defaults.withCredentials = location.hash === '#credentials';
    globalThis.call = (code, token) => logged(axios, code, token);
  </script>`],
  '/axios.js': ['text/javascript', read('../node_modules/axios/dist/esm/axios.min.js')],
  '/logged.mjs': ['text/javascript', read('../flow/logged.mjs')],
};

function read(path) {
  return readFileSync(new URL(path, import.meta.url), 'utf8');
}

/** A browser that finds the gateway at `port`, and pages at each of the `origins`. */
export async function browse(port, origins) {
  setTimeout(giveUp, LIMIT).unref();
  const pages = await serve();
  const hosts = [[GATEWAY, port], ...origins.map((origin) => [origin, pages.address().port])];
  const rules = hosts.map(([origin, there]) => `MAP ${hostAndPort(origin)} 127.0.0.1:${there}`);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || execFileSync('sh', ['-c', 'command -v chromium']).toString().trim(),
    chromiumSandbox: process.getuid() !== 0, // root cannot have one
    args: [`--host-resolver-rules=${[...rules, 'MAP * ~NOTFOUND'].join()}`],
  });
  const context = await browser.newContext();
  return {
    /** A page of this origin; what it calls carries the cookie if `credentials`. */
    async open(origin, credentials) {
      const page = await context.newPage();
      await page.goto(`${origin}/${credentials ? '#credentials' : ''}`);
      return page;
    },
    /** Our cookie as the browser keeps it, if it does. */
    async cookie() {
      return (await context.cookies(GATEWAY)).find((cookie) => cookie.name === COOKIE);
    },
    async close() {
      await browser.close();
      pages.close();
    },
  };
}

function giveUp() {
  console.error(`the browser is not done after ${LIMIT} ms`);
  process.exit(1);
}

function hostAndPort(origin) {
  const { hostname, port } = new URL(origin);
  return `${hostname}:${port || 80}`;
}

async function serve() {
  const server = createServer((request, response) => {
    const [type, text] = FILES[request.url] ?? ['text/plain', ''];
    response.writeHead(200, { 'content-type': type }).end(text);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return server;
}
