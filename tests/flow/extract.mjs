// Reads the documented flow page: its requests in page order, each with the answer that the page
// promises. A code block it does not recognise is an error, so that no printed request goes unrun.
import { readFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

export const PAGE = new URL('flow-ru.md', import.meta.url);

// What a tab of a request holds: the language of its fence, and the call that it must contain.
const TABS = {
  cURL: { kind: 'curl', language: 'bash', call: /^curl\s/m },
  axios: { kind: 'axios', language: 'ts', call: /^axios\./m },
};

/** The page's steps in page order: `{ section, kind, code, promised }`. */
export function extract(page) {
  return sections(page).filter((section) => section.part).flatMap(steps);
}

/** A step's code with the only two things that differ from the page: the value of TOKEN, and the id of the user. */
export function substituted(code, { token, printedId, id }) {
  const withToken = code.replace(
    /^((?:export|const) TOKEN ?= ?)(["'])[^"']*\2/m,
    (_, left, quote) => `${left}${quote}${token}${quote}`,
  );
  return id ? withToken.replaceAll(printedId, id) : withToken;
}

function steps(section) {
  const promised = promise(section);
  const kinds = section.requests.map((request) => request.kind).join();
  if (kinds !== 'curl,axios') fail(section, `its requests are "${kinds}", not one curl and one axios`);
  return section.requests.map((request) => ({ section: section.title, ...request, promised }));
}

/** What the answer part of a section says: `{ json, cookie, empty }`, of which some are absent. */
function promise(section) {
  const promised = { ...section.answer, empty: section.prose.includes('пустой ответ') };
  if (promised.empty === 'json' in promised) fail(section, 'it promises neither JSON nor an empty answer, or both');
  return promised;
}

function sections(page) {
  const found = [];
  let section;
  let tab;
  for (const { heading, label, block, text } of pieces(page)) {
    if (heading === 'Запрос') section.part = 'request';
    else if (heading === 'Ответ') section.part = 'answer';
    else if (heading) found.push((section = { title: heading, requests: [], answer: {}, prose: '' }));
    else if (label) tab = label;
    else if (!block) section.prose += section.part === 'answer' ? `${text}\n` : '';
    else {
      if (section?.part === 'request') section.requests.push(request(section, tab, block));
      else if (section?.part === 'answer') Object.assign(section.answer, answer(section, block));
      else fail(section, 'a code block stands outside of request and answer');
      tab = undefined;
    }
  }
  return found;
}

function request(section, tab, { language, code }) {
  const known = TABS[tab];
  if (!known || known.language !== language || !known.call.test(code)) {
    fail(section, `cannot tell what this "${language}" block under the tab "${tab}" is:\n${code}`);
  }
  return { kind: known.kind, code };
}

function answer(section, { language, code }) {
  if (language === 'json') return { json: JSON.parse(code) };
  if (language === '' && /^set-cookie: /i.test(code)) return { cookie: cookie(code) };
  return fail(section, `cannot tell what this "${language}" answer block is:\n${code}`);
}

/** The page prints the cookie's value broken over lines, so line ends are dropped. */
function cookie(code) {
  const [pair, ...attributes] = code.replace(/^set-cookie: /i, '').replace(/\s*\n\s*/g, '').split(/;\s*/);
  return { name: pair.slice(0, pair.indexOf('=')), attributes };
}

/** Cuts the page into headings, tab labels, code blocks and lines of text. */
function* pieces(page) {
  const lines = mendFences(page).split('\n');
  while (lines.length > 0) {
    const line = lines.shift();
    const fence = /^(\s*)(`{3,}|~{3,})(.*)$/.exec(line);
    if (fence) yield { block: { language: fence[3].trim(), code: code(lines, fence) } };
    else if (/^\s*`+\s*$/.test(line)) throw new Error(`stray backticks: ${JSON.stringify(line)}`);
    else if (/^#+ /.test(line)) yield { heading: line.replace(/^#+ /, '').trim() };
    else if (/^=== /.test(line)) yield { label: /^=== "(.*)"$/.exec(line)?.[1] ?? line };
    else yield { text: line };
  }
}

function code(lines, [opening, indent, fence]) {
  const end = lines.findIndex((line) => line.trim() === fence);
  if (end < 0) throw new Error(`a code block is never closed: ${JSON.stringify(opening)}`);
  const body = lines.splice(0, end + 1).slice(0, -1);
  return body.map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line)).join('\n');
}

/** The last axios block is closed by two backticks, and the third stands alone some lines below. */
function mendFences(page) {
  return page.replace(/^([ \t]*)``[ \t]*\n\s*`[ \t]*$/gm, '$1```');
}

function fail(section, what) {
  throw new Error(`${section?.title ?? 'before the first heading'}: ${what}`);
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  console.log(JSON.stringify(extract(readFileSync(PAGE, 'utf8')), null, 2));
}
