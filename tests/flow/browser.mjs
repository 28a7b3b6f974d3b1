// Runs a printed axios call with axios in a real browser, in a page of another origin. What scripts cannot see, the
// cookies of an answer, the driver of the browser tells; and the browser must do with them what they say.
import assert from 'node:assert/strict';
import { GATEWAY, browse } from '../browser/chromium.mjs';

/** A function that runs a printed call from a page of `origin`, with cookies or without, and has a `close`. */
export default async function client(port, { origin, credentials }) {
  const browser = await browse(port, [origin]);
  const page = await browser.open(origin, credentials);
  let last;
  page.on('response', (response) => {
    if (response.url().startsWith(GATEWAY) && response.request().method() !== 'OPTIONS') last = response;
  });
  const send = async (code, token) => {
    const kept = await browser.cookie();
    const answer = await page.evaluate(([code, token]) => globalThis.call(code, token), [code, token]);
    const cookies = await last.headerValues('set-cookie');
    const { cookie: sent } = await last.request().allHeaders();
    assert.equal(sent, kept && `${kept.name}=${kept.value}`, 'the browser sends the cookie that it keeps');
    const [, expected] = credentials && cookies.length ? /=([^";]*)/.exec(cookies[0]) : [, kept?.value];
    assert.equal((await browser.cookie())?.value ?? '', expected ?? '', 'the browser keeps the cookie as it is told');
    return { ...answer, cookies };
  };
  return Object.assign(send, { close: browser.close });
}
