/** Restores a log into a file, prints one JSON object, and stays until its stdin ends, to be looked at. */
import { type ConnectionSpec, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { restore, SegmentLog } from '@canopy/sqlite';

const job = JSON.parse(process.argv[2] as string) as { connection: ConnectionSpec; bucket: string; dest: string };
const env = systemEnv();
await using session = await connectNats(job.connection, { name: 'bench', env });
const log = new SegmentLog({ blobs: await session.blobs(job.bucket), clock: env.clock });
const { ms, commit } = await restore({ log, dest: job.dest });
process.stdout.write(`${JSON.stringify({ ms, commit })}\n`);
await new Promise((resolve) => process.stdin.once('end', resolve).resume());
