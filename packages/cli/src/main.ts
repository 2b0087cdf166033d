/** The entry point behind bin/canopy.js: this process's arguments, environment and streams; its exit code. */
import { standardStreams } from './output/standard-streams.ts';
import { runCli } from './program.ts';

process.exitCode = await runCli({
  args: process.argv.slice(2),
  environment: process.env,
  streams: standardStreams(),
});

/** A connection that a server neither serves nor closes can't be given up from our side: it does not keep the shell waiting. */
const LINGER_MS = 500;
setTimeout(() => process.exit(), LINGER_MS).unref();
