/**
 * Ports of this machine. Free ones are picked below the range that outgoing connections use, so that a server which is
 * down for a moment does not lose its port to a client by chance. Somebody may still take a port between the check and
 * its use: who starts a server on one tries again with another.
 */
import { createServer } from 'node:net';
import type { Random } from '@canopy/core';
import { natsErrors } from '../../errors.ts';

const LOWEST = 18_000;
const COUNT = 14_000;

/** True when nothing listens on the port and this user may. Other refusals (a foreign address) are left to the server. */
export async function isPortFree(host: string, port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A port that was free a moment ago and is none of `taken`. PORT_TAKEN when 200 tries found none. */
export async function freePort(
  random: Random,
  options: { host?: string; taken?: ReadonlySet<number> } = {},
): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const port = LOWEST + random.int(COUNT);
    if (options.taken?.has(port)) continue;
    if (await isPortFree(options.host ?? '127.0.0.1', port)) return port;
  }
  const host = options.host ?? '127.0.0.1';
  throw natsErrors.create('PORT_TAKEN', { port: `${LOWEST}-${LOWEST + COUNT - 1}`, host });
}

/** `host:port`, with the brackets that an IPv6 address needs. */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
