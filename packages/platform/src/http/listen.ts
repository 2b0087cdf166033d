/** Listening with an error that names the option to change. */
import type { AddressInfo, Server } from 'node:net';
import { platformErrors } from '../errors.ts';

/** Resolves with the port; rejects with LISTEN_TAKEN or LISTEN_FAILED, naming `option`. */
export function listen(server: Server, at: { host: string; port: number; option: string }): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      const fields = { ...at, problem: error.message };
      reject(platformErrors.create(error.code === 'EADDRINUSE' ? 'LISTEN_TAKEN' : 'LISTEN_FAILED', fields, error));
    };
    server.once('error', onError);
    server.listen({ host: at.host, port: at.port }, () => {
      server.off('error', onError);
      resolve((server.address() as AddressInfo).port);
    });
  });
}
