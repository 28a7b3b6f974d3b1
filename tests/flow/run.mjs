// Runs the documented flow against a server with a fresh database, and says for each step whether the
// answer is what the page promises: node run.mjs curl|axios|browser --port PORT --promote 'COMMAND'
// COMMAND gets the user's e-mail as one more argument and makes that user a superuser. The browser runs the axios
// requests in a page of another origin, which --origin names, and with cookies if --credentials is given.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { PAGE, extract, substituted } from './extract.mjs';
import { differences } from './promised.mjs';

/** Each client, and the tab of the page whose requests it runs. */
const CLIENTS = { curl: 'curl', axios: 'axios', browser: 'axios' };

const { kind, port, promote, ...how } = parameters();
const page = extract(readFileSync(PAGE, 'utf8'));
const { default: client } = await import(`./${kind}.mjs`);
const send = await client(port, how);
const kept = await walk(page.filter((step) => step.kind === CLIENTS[kind]), send);
await send.close?.();
process.exitCode = kept ? 0 : 1;

function parameters() {
  const options = {
    port: { type: 'string', default: '8000' },
    promote: { type: 'string' },
    origin: { type: 'string', default: 'http://localhost:3000' },
    credentials: { type: 'boolean', default: false },
  };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [kind] = positionals;
  const known = positionals.length === 1 && kind in CLIENTS;
  if (!known || !/^\d+$/.test(values.port) || !values.promote) {
    console.error("usage: node run.mjs curl|axios|browser [--port 8000] --promote 'COMMAND' [--origin …] [--credentials]");
    process.exit(2);
  }
  return { kind, ...values };
}

/** Sends every step in page order; true if each was answered as promised. */
async function walk(steps, send) {
  const user = { ...printed(steps), token: '', promoted: false };
  let kept = 0;
  for (const [index, step] of steps.entries()) {
    if (step.section.startsWith('5.1.') && !user.promoted) becomeSuperuser(user);
    const { status, wrong } = await take(step, user, send);
    const title = step.section.replace(/^[\d.]+ /, '');
    console.log(`${wrong.length ? 'not ok' : 'ok'} ${index + 1} ${kind}  ${title} ${status}`);
    wrong.forEach((line) => console.log(`    ${line}`));
    kept += wrong.length ? 0 : 1;
  }
  console.log(`${kept} steps of ${steps.length} as the page promises`);
  return kept === steps.length;
}

/** What the page itself says of the user: the example's id and e-mail, and the form of the cookie. */
function printed(steps) {
  const { id: printedId, email } = steps[0].promised.json;
  return { printedId, email, cookie: steps.find((step) => step.promised.cookie).promised.cookie };
}

async function take(step, user, send) {
  try {
    const answer = await send(substituted(step.code, user), user.token);
    const wrong = differences(step, answer, user);
    remember(step, answer, user);
    return { status: answer.status, wrong };
  } catch (error) {
    return { status: 'no answer', wrong: [error.stderr?.trim() || String(error.message)] };
  }
}

/** Keeps what later steps need: the new user's id, and the token of the bearer login. */
function remember({ promised: { json } }, { body }, user) {
  if (json?.id) user.id ??= body.id;
  if (json?.access_token) user.token = body.access_token;
}

/** What the page asks for in section 5, "at the level of the database". */
function becomeSuperuser(user) {
  execFileSync('bash', ['-c', `${promote} "$1"`, 'promote', user.email], { stdio: ['ignore', 'ignore', 'inherit'] });
  user.promoted = true;
}
