// Runs a printed curl command with the real curl. The command stays as it is: all that the runner
// needs (another port, the answer's headers) stands in a .curlrc that CURL_HOME points to.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A function that sends a printed command to `port` and gives `{ status, type, cookies, body }`. */
export default function curl(port) {
  return async (code, token) => {
    const home = await mkdtemp(join(tmpdir(), 'flow-curl-'));
    try {
      const head = join(home, 'head');
      await writeFile(join(home, '.curlrc'), curlrc(port, head));
      const { stdout } = await run('bash', ['-c', code], { env: { ...env, CURL_HOME: home, TOKEN: token } });
      return answer(await readFile(head, 'utf8'), stdout);
    } finally {
      await rm(home, { recursive: true });
    }
  };
}

function curlrc(port, head) {
  return [
    `connect-to = "localhost:8000:127.0.0.1:${port}"`,
    'noproxy = "*"',
    `dump-header = "${head}"`,
    'max-time = 20',
    'silent',
    'show-error',
    '',
  ].join('\n');
}

/** Of several heads (100 Continue comes before the answer) the last counts. */
function answer(heads, body) {
  const [first, ...lines] = heads.trimEnd().split('\r\n\r\n').at(-1).split('\r\n');
  const headers = lines.map((line) => /^([^:]+):\s*(.*)$/.exec(line).slice(1));
  const all = (name) => headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
  const type = all('content-type')[0] ?? '';
  return {
    status: Number(first.split(' ')[1]),
    type,
    cookies: all('set-cookie'),
    body: type.startsWith('application/json') ? JSON.parse(body) : body,
  };
}
