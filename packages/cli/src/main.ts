/** The entry point behind bin/canopy.js: this process's arguments, environment and streams; its exit code. */
import { runCli } from './program.ts';

// A reader that goes away (`canopy status | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli({
  args: process.argv.slice(2),
  environment: process.env,
  streams: { out: process.stdout, err: process.stderr },
});
