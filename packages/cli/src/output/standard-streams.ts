/**
 * This process's stdout and stderr as a verb may use them: no write throws and none ends the process. A reader that has gone
 * (`canopy status | head`) is no error, but what stdout could not take for another reason is remembered. Invariant: a
 * stream's trouble never keeps `up` or `run` from stopping in order.
 */
import type { Streams } from './printer.ts';

/** Once per process: it listens for the errors of both streams for good. */
export function standardStreams(): Streams {
  const { stdout, stderr } = process;
  let failure: Error | undefined;
  const note = (error: NodeJS.ErrnoException | null | undefined): void => {
    if (error && error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') failure ??= error;
  };
  stderr.on('error', () => {});
  stdout.on('error', note);
  let written = Promise.resolve();
  return {
    err: stderr,
    out: {
      write: (text) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        written = written.then(() => promise);
        return stdout.write(text, (error) => {
          note(error);
          resolve();
        });
      },
      failure: async () => {
        await written;
        return failure;
      },
    },
  };
}
