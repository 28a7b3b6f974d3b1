// Runs a printed axios call with the real axios. The call stays as it is: an agent sends what is
// meant for localhost:8000 to another port.
import http from 'node:http';
import axios from 'axios';
import { logged } from './logged.mjs';

/** A function that runs a printed call against `port` and gives `{ status, type, cookies, body }`. */
export default function client(port) {
  Object.assign(axios.defaults, { httpAgent: new Detour(port), proxy: false, timeout: 20_000 });
  return (code, token) => logged(axios, code, token);
}

class Detour extends http.Agent {
  constructor(port) {
    super();
    this.port = port;
  }

  createConnection(options, callback) {
    const meant = options.host === 'localhost' && Number(options.port) === 8000;
    const there = meant ? { host: '127.0.0.1', port: this.port } : {};
    return super.createConnection({ ...options, ...there }, callback);
  }
}
