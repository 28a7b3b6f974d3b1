// Runs a printed axios call as it stands, in Node and in a browser alike: the page's console.log hands the answer
// over. A browser shows no script the cookies of an answer.

/** What the block logs, as `{ status, type, cookies, body }`; that there is no answer is an error. */
export async function logged(axios, code, token) {
  // The inner braces let a block declare its own TOKEN over the one carried.
  const outcome = await new Promise((resolve) => {
    new Function('axios', 'console', 'TOKEN', `{\n${code}\n}`)(axios, { log: resolve }, token);
  });
  const response = axios.isAxiosError(outcome) ? outcome.response : outcome;
  if (!response?.status) throw outcome;
  return {
    status: response.status,
    type: response.headers['content-type'] ?? '',
    cookies: response.headers['set-cookie'] ?? [],
    body: response.data,
  };
}
