import { createServer } from 'node:http';

/** The least that a Node server can do for a balance read: a constant answer of the same size. */
const ANSWER = JSON.stringify({
  account_id: '251658240000004096',
  currency: 'EUR',
  posted: { debits: '1234567', credits: '2345678', amount: '1111111' },
  pending: { debits: '0', credits: '0', amount: '0' },
  available: '1111111',
  version: '1234',
  as_of: '2026-11-21T17:09:00.000Z',
  source: 'cache',
});
const HEADERS = { 'content-type': 'application/json; charset=utf-8', 'content-length': String(ANSWER.length) };

createServer((_request, response) => {
  response.writeHead(200, HEADERS);
  response.end(ANSWER);
}).listen(Number(process.env.PORT), '127.0.0.1');
