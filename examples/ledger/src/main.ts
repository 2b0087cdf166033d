/**
 * The program: settings, database, HTTP, signals. The database is open before the port is, so a connection that
 * succeeds is served; SIGTERM ends the program as soon as the requests that had begun are answered.
 */
import { readConfig, USAGE, UsageError } from './config.ts';
import { Journal } from './journal.ts';
import { Ledger } from './ledger.ts';
import { finish, ledgerServer, listen } from './server.ts';

/** sysexits: wrong usage; can't be made ready. */
const EXIT_USAGE = 64;
const EXIT_UNAVAILABLE = 69;

async function main(): Promise<void> {
  const config = readConfig(process.argv.slice(2), process.env);
  const journal = config.journal === undefined ? undefined : new Journal(config.journal);
  const ledger = new Ledger(config.db, config, (id) => journal?.committed(id));
  const server = ledgerServer(ledger);
  const { address, port } = await listen(server, config.host, config.port);

  let ending = false;
  const end = async (): Promise<void> => {
    if (ending) return;
    ending = true;
    await finish(server);
    ledger.close();
    journal?.close();
  };
  process.on('SIGTERM', () => void end());
  process.on('SIGINT', () => void end());
  process.stdout.write(`${JSON.stringify({ event: 'listening', host: address, port, pid: process.pid })}\n`);
}

main().catch((error: NodeJS.ErrnoException) => {
  const usage = error instanceof UsageError;
  process.stderr.write(`ledger: ${error.message}\n${usage ? `${USAGE}\n` : ''}`);
  process.exit(usage ? EXIT_USAGE : EXIT_UNAVAILABLE);
});
