// Plays a page that wants to act with the cookie of the user who visits it, and tells as JSON what came of it:
// node foreign.mjs --port PORT --listed ORIGIN --origin ORIGIN --token TOKEN --id ID
// The user logs in on a page of the listed origin; then pages of the other one call and submit forms.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { PAGE, extract, substituted } from '../flow/extract.mjs';
import { GATEWAY, browse } from './chromium.mjs';

const names = ['port', 'listed', 'origin', 'token', 'id'];
const options = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
const { port, listed, origin, token, id } = parseArgs({ options }).values;

const steps = extract(readFileSync(PAGE, 'utf8')).filter((step) => step.kind === 'axios');
const user = { token, id, printedId: steps[0].promised.json.id };
const printed = steps.map((step) => substituted(step.code, user));
const login = steps.findIndex((step) => step.promised.cookie);

// With the cookie alone, for which a page needs to know nothing.
const logged = '.then((response) => console.log(response)).catch((error) => console.log(error));';
const own = [
  `axios.get('${GATEWAY}/users/me')${logged}`,
  `axios.patch('${GATEWAY}/users/me', { password: 'excalibur' })${logged}`,
  `axios.post('${GATEWAY}/users/me', 'password=excalibur', { headers: { 'X-HTTP-Method-Override': 'PATCH' } })${logged}`,
  `axios.delete('${GATEWAY}/users/${id}')${logged}`,
  `axios.post('${GATEWAY}/auth/jwt/logout')${logged}`,
];

const FORMS = ['/auth/cookie/login', '/auth/cookie/logout'];

const browser = await browse(port, [listed, origin]);
await call(await browser.open(listed, true), printed[login]);
const before = (await browser.cookie())?.value;
const page = await browser.open(origin, true);
const calls = [];
for (const code of [...printed, ...own]) calls.push([code, await call(page, code)]);
const forms = [];
for (const path of FORMS) forms.push([path, await submit(await browser.open(origin), path)]);
const after = (await browser.cookie())?.value;
await browser.close();
console.log(JSON.stringify({ before, calls, forms, after }));

/** The status that the page sees, or the name of the error. */
function call(page, code) {
  return page.evaluate(
    ([code, token]) => globalThis.call(code, token).then(({ status }) => status, ({ code }) => code),
    [code, token],
  );
}

/** The status of the answer to a form that the page submits; a form asks nobody whether it may. */
async function submit(page, path) {
  await page.setContent(`<form method="post" enctype="multipart/form-data" action="${GATEWAY}${path}">
    <input name="username" value="mordred@camelot.bt"><input name="password" value="guinevere"></form>`);
  const answered = page.waitForResponse(GATEWAY + path);
  await page.evaluate(() => document.forms[0].submit());
  return (await answered).status();
}
