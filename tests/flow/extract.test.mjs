// The extractor finds every request of the page, and fails loudly where it would have to guess.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PAGE, extract } from './extract.mjs';

const page = readFileSync(PAGE, 'utf8');
const steps = extract(page);

test('the page has nine curl and nine axios requests, in page order', () => {
  const of = (kind) => steps.filter((step) => step.kind === kind);
  const headings = [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading);
  const titles = headings.filter((_, index) => headings[index + 1] === 'Запрос');
  assert.equal(titles.length, 9);
  assert.deepEqual(of('curl').map((step) => step.section), titles);
  assert.deepEqual(of('axios').map((step) => step.section), titles);
});

test('as many requests are found as the page names tabs and calls, and each stands on it word for word', () => {
  assert.equal(steps.length, page.match(/^=== /gm).length);
  assert.equal(steps.length, page.match(/^ +(?:curl \\|axios\.\w+\()/gm).length);
  const dedented = page.replace(/^ {4}/gm, '');
  for (const { section, code } of steps) assert.ok(dedented.includes(`\n${code}\n`), section);
});

test('the broken fence of the last axios block ends it', () => {
  assert.match(page, /^ {4}``\n\n`$/m);
  const { section, kind, code } = steps.at(-1);
  assert.deepEqual([section, kind], ['6. Выход', 'axios']);
  assert.ok(code.endsWith('.catch((error) => console.log(error));'), code);
});

test('the promised answers come from the page', () => {
  const [register, , bearer, , cookie] = steps.map((step) => step.promised);
  assert.deepEqual(Object.keys(register.json), ['id', 'email', 'is_active', 'is_superuser']);
  assert.equal(bearer.json.token_type, 'bearer');
  assert.equal(cookie.cookie.name, 'fastapiusersauth');
  assert.deepEqual(cookie.cookie.attributes, ['HttpOnly', 'Max-Age=3600', 'Path=/', 'Secure']);
  assert.deepEqual(steps.at(-1).promised, { empty: true });
});

const BROKEN = {
  'a block in an unknown language': [/``` bash/, '``` python'],
  'a tab of an unknown client': [/=== "cURL"/, '=== "httpie"'],
  'a bash block without curl': [/curl \\/, 'wget \\'],
  'a block outside of request and answer': [/^## Заключение$/m, '$&\n```ts\naxios.get()\n```'],
  'a fence of tildes': [/^## Заключение$/m, '$&\n~~~\ncurl -X GET\n~~~'],
  'an answer block in an unknown language': [/```json/, '```yaml'],
  'a request without its twin': [/=== "axios"\n {4}```ts[^]*?```\n/, ''],
  'an answer that promises nothing': [/```json[^]*?```/, ''],
  'a fence that is never closed': [/$/, '\n```ts\naxios.get()'],
  'backticks that belong to no fence': [/$/, '\n``\n'],
};

for (const [what, [from, to]] of Object.entries(BROKEN)) {
  test(`the extractor refuses ${what}`, () => {
    const changed = page.replace(from, to);
    assert.notEqual(changed, page);
    assert.throws(() => extract(changed), Error);
  });
}
