/** Launches a server in the directory that is named, prints its pid and URL, and stays until it is ended. */
import { NatsServer } from '@canopy/nats/server';

const server = await NatsServer.launch({ dataDir: process.argv[2] as string, syncAlways: false });
process.stdout.write(`${JSON.stringify({ pid: server.pid, url: server.url })}\n`);
