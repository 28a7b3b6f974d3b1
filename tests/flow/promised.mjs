// Compares an answer with what the page promises for its step. What the page leaves open (status
// numbers, the cookie that logout clears) is the contract's: 201 for a new user, 204 for no body.

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The differences between `answer` and the promise of `step`, as lines; none if it was kept. */
export function differences(step, answer, user) {
  const { json, empty, cookie } = step.promised;
  return [
    ...(answer.status === status(step) ? [] : [`status ${answer.status}, not ${status(step)}`]),
    ...(empty && answer.body !== '' ? [`a body, not an empty answer: ${show(answer.body)}`] : []),
    ...(json ? jsonDifferences(expected(json, user), answer) : []),
    ...(cookie ? cookieDifferences(cookie, answer.cookies) : []),
    ...(isLogout(step) ? cookieDifferences(cleared(user.cookie), answer.cookies) : []),
  ];
}

function status({ promised, code }) {
  if (promised.empty) return 204;
  return code.includes('/auth/register') ? 201 : 200;
}

/** The page's JSON for this user: key to a test of its value. */
function expected(json, user) {
  const tests = Object.entries(json).map(([key, value]) => [key, (got) => got === value]);
  const own = {
    id: (got) => (user.id ? got === user.id : UUID.test(got)),
    access_token: (got) => typeof got === 'string' && got !== '',
  };
  // The page prints `is_superuser: false` for somebody else whom the superuser of 5.1 looks at. Here
  // he looks at himself, and could not without being one.
  if (user.promoted) own.is_superuser = (got) => got === true;
  return Object.fromEntries(tests.map(([key, test]) => [key, own[key] ?? test]));
}

function jsonDifferences(tests, { type, body }) {
  if (!type.startsWith('application/json')) return [`content type "${type}", not JSON: ${show(body)}`];
  const wrong = Object.keys(tests).filter((key) => !tests[key](body[key]));
  // Newer than the page: `is_verified`.
  const more = Object.keys(body).filter((key) => !(key in tests) && key !== 'is_verified');
  return [
    ...wrong.map((key) => `"${key}" is ${show(body[key])}`),
    ...more.map((key) => `"${key}" is not on the page`),
  ];
}

function cookieDifferences({ name, value = /./, attributes }, cookies) {
  const own = cookies.filter((cookie) => cookie.startsWith(`${name}=`));
  if (own.length !== 1) return [`${own.length} Set-Cookie headers for "${name}", not 1`];
  const [pair, ...got] = own[0].split(/;\s*/);
  const missing = attributes.filter((attribute) => !got.includes(attribute));
  return [
    ...(value.test(pair.slice(name.length + 1)) ? [] : [`cookie value in "${pair}"`]),
    ...missing.map((attribute) => `Set-Cookie without "${attribute}": ${show(own[0])}`),
  ];
}

function isLogout({ code }) {
  return code.includes('/auth/cookie/logout');
}

/** The login's cookie as logout must clear it: no value, no life, all else as it was. */
function cleared({ name, attributes }) {
  const clearing = attributes.map((attribute) => attribute.replace(/^Max-Age=.*$/, 'Max-Age=0'));
  return { name, value: /^(?:"")?$/, attributes: clearing };
}

function show(value) {
  return JSON.stringify(value);
}
