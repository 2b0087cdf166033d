/**
 * Headers across the proxy. Our own names are a wire contract between nodes of different versions: do not change.
 * `Canopy-Hop` marks a request that another node's proxy sent; `Canopy-Refused` a 421 by which a proxy says that it did
 * nothing with it; `Canopy-Error` and `Canopy-Outcome` tell clients what an answer of the proxy itself means.
 */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';

export const HOP_HEADER = 'canopy-hop';
export const REFUSED_HEADER = 'canopy-refused';
export const ERROR_HEADER = 'canopy-error';
/** `none`: nothing was done. `unknown`: it may have been carried out. */
export const OUTCOME_HEADER = 'canopy-outcome';

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
]);

/** 0 for a client's own request; a faulty value counts as a hop, which is the safe reading. */
export function hopCount(request: IncomingMessage): number {
  const value = request.headers[HOP_HEADER];
  if (value === undefined) return 0;
  const count = Number(value);
  return Number.isSafeInteger(count) && count >= 0 ? count : 1;
}

/** Headers for the backend or the next proxy: end-to-end ones as they came, plus X-Forwarded-*. */
export function requestHeaders(request: IncomingMessage, options: { hop: number }): OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = {};
  const dropped = connectionTokens(request.headers.connection);
  for (const [name, value] of Object.entries(request.headersDistinct)) {
    if (value === undefined || HOP_BY_HOP.has(name) || dropped.has(name) || name === HOP_HEADER) continue;
    headers[name] = value.length === 1 ? (value[0] as string) : value;
  }
  const client = request.socket.remoteAddress ?? 'unknown';
  if (options.hop > 0) headers[HOP_HEADER] = String(options.hop);
  // A hop keeps what the first proxy wrote: the node in between is no client.
  if (hopCount(request) === 0) {
    const before = request.headers['x-forwarded-for'];
    headers['x-forwarded-for'] = before === undefined ? client : `${before}, ${client}`;
    headers['x-forwarded-proto'] ??= 'http';
    if (request.headers.host !== undefined) headers['x-forwarded-host'] ??= request.headers.host;
  }
  if (request.headers['transfer-encoding'] !== undefined) headers['transfer-encoding'] = 'chunked';
  return headers;
}

/** Headers for the client, as a flat list in the backend's order and case. */
export function responseHeaders(response: IncomingMessage, options: { fromBackend: boolean }): string[] {
  const out: string[] = [];
  const dropped = connectionTokens(response.headers.connection);
  for (let i = 0; i + 1 < response.rawHeaders.length; i += 2) {
    const name = response.rawHeaders[i] as string;
    const key = name.toLowerCase();
    if (HOP_BY_HOP.has(key) || dropped.has(key)) continue;
    // A backend can't speak as a proxy.
    if (options.fromBackend && key === REFUSED_HEADER) continue;
    out.push(name, response.rawHeaders[i + 1] as string);
  }
  return out;
}

/** Whether the answer of another proxy says that it did nothing with the request. */
export function isRefusal(response: IncomingMessage): boolean {
  return response.statusCode === 421 && response.headers[REFUSED_HEADER] !== undefined;
}

function connectionTokens(value: string | undefined): ReadonlySet<string> {
  return new Set((value ?? '').split(',').map((token) => token.trim().toLowerCase()));
}
