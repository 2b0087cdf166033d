/** Answers that the proxy itself gives: JSON with the error, and headers for programs that look no further. */
import type { ServerResponse } from 'node:http';
import type { CanopyError } from '@canopy/core';
import { ERROR_HEADER, OUTCOME_HEADER, REFUSED_HEADER } from './headers.ts';

/** `untouched`: nothing was done with the request. Only where nothing has been sent yet; else the connection is cut. */
export function answerError(
  client: ServerResponse,
  status: number,
  error: CanopyError,
  options: { untouched: boolean },
): void {
  if (client.headersSent || client.destroyed) {
    client.destroy();
    return;
  }
  const body = errorBody(error);
  client.writeHead(status, errorHeaders(status, error, options, body));
  client.end(body);
}

export function errorBody(error: CanopyError): string {
  return `${JSON.stringify({ error: error.toJSON() })}\n`;
}

export function errorHeaders(
  status: number,
  error: CanopyError,
  options: { untouched: boolean },
  body: string,
): Record<string, string> {
  return {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    [ERROR_HEADER]: error.code,
    [OUTCOME_HEADER]: options.untouched ? 'none' : 'unknown',
    ...(status === 503 ? { 'retry-after': '1' } : {}),
  };
}

/** To another proxy: nothing was done with the request, send it elsewhere. */
export function answerRefusal(client: ServerResponse, reason: string): void {
  if (client.headersSent || client.destroyed) {
    client.destroy();
    return;
  }
  client.writeHead(421, { [REFUSED_HEADER]: reason, 'content-length': '0' });
  client.end();
}
