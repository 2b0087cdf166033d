/**
 * The HTTP face: reads a bounded body, asks the routes, writes JSON. Stopping lets requests that have begun be answered
 * and closes idle connections at once.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Ledger } from './ledger.ts';
import { type Answer, answer, refusal } from './routes.ts';

/**
 * Not an import statement: one would read every export of node:http, among them the lazy ones that load the WebSocket
 * client, and double the time to start.
 */
const { createServer } = process.getBuiltinModule('node:http');

const BODY_MAX_BYTES = 64 * 1024;
const KEEP_ALIVE_MS = 60_000;
const FINISH_MAX_MS = 1000;

/** A server that is not listening yet. */
export function ledgerServer(ledger: Ledger): Server {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    readBody(request, (body, tooLarge) => {
      if (!server.listening) response.setHeader('connection', 'close');
      if (tooLarge) send(response, refusal(413, 'body_too_large', `a body has at most ${BODY_MAX_BYTES} bytes`));
      else send(response, respond(ledger, request, body));
    });
  });
  return server;
}

export function listen(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => resolve(server.address() as AddressInfo));
  });
}

/** Resolves when the last request that had begun is answered, or cut off after a second without its end. */
export function finish(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), FINISH_MAX_MS);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}

function respond(ledger: Ledger, request: IncomingMessage, text: string): Answer {
  const [path, search] = (request.url ?? '/').split('?', 2);
  let body: unknown;
  try {
    body = text === '' ? undefined : JSON.parse(text);
  } catch {
    return refusal(400, 'json_invalid', 'the body is not JSON');
  }
  const query = new URLSearchParams(search);
  return answer(ledger, { method: request.method ?? 'GET', path: path as string, query, body });
}

function readBody(request: IncomingMessage, done: (body: string, tooLarge: boolean) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= BODY_MAX_BYTES) chunks.push(chunk);
  });
  request.on('end', () => done(size <= BODY_MAX_BYTES ? Buffer.concat(chunks).toString() : '', size > BODY_MAX_BYTES));
}

function send(response: ServerResponse, { status, body }: Answer): void {
  const text = JSON.stringify(body);
  const headers: Record<string, string | number> = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  };
  if (status === 503) headers['retry-after'] = 1;
  response.writeHead(status, headers).end(text);
}
