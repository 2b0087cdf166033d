/** `canopy up`: a cluster to play with, in the foreground, gone at ctrl-C; its data stays for the next time. */
import { systemEnv } from '@canopy/core';
import { DEFAULT_DIRECTORY } from '../cluster/cluster-file.ts';
import { type AppTemplates, exampleTemplates, fileTemplates } from '../cluster/example.ts';
import { LocalCluster } from '../cluster/local-cluster.ts';
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { renderTable } from '../output/table.ts';

export interface UpOptions {
  readonly nodes: number;
  readonly dir?: string | undefined;
  readonly example?: string | undefined;
  readonly config?: string | undefined;
  readonly natsPort?: number | undefined;
  readonly ttl?: string | undefined;
  readonly download?: boolean | undefined;
}

export async function upCluster(options: UpOptions, printer: Printer): Promise<number> {
  if (options.example !== undefined && options.config !== undefined) {
    throw cliErrors.create('USAGE', { command: 'npx canopy up', problem: 'give --example or --config, not both' });
  }
  const templates = templatesOf(options);
  const directory = options.dir ?? DEFAULT_DIRECTORY;
  const cluster = new LocalCluster(
    {
      directory,
      nodes: options.nodes,
      platform: templates.platform,
      apps: templates.apps,
      appsDirectory: templates.directory,
      ttl: options.ttl ?? templates.ttl,
      natsPort: options.natsPort,
      exactPorts: options.natsPort !== undefined && options.natsPort !== 0,
      provision: options.download ?? true,
      supervise: true,
      onProgress: (text) => printer.note(text),
    },
    systemEnv(),
  );
  const interrupted = interruption(printer);
  try {
    await cluster.start({ signal: interrupted.signal });
    printer.result(describe(cluster), () => introduce(cluster, options));
    await new Promise<void>((resolve) => interrupted.signal.addEventListener('abort', () => resolve(), { once: true }));
    return EXIT.ok;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    printer.note(`stopped; the data stays in ${cluster.directory}`);
    return EXIT.interrupted;
  } finally {
    // A start that failed has undone itself already, and may not even have had a directory.
    if (cluster.state === 'running') printer.note(`stopping; the data stays in ${cluster.directory}`);
    await cluster.stop();
    interrupted.dispose();
  }
}

function templatesOf(options: UpOptions): AppTemplates {
  if (options.example !== undefined) return exampleTemplates(options.example);
  if (options.config !== undefined) return fileTemplates(options.config);
  return { platform: 'play', apps: {}, directory: process.cwd(), ttl: undefined };
}

/** First ctrl-C (or SIGTERM, SIGHUP): stop in order. Second: at once; the nodes see their parent's pipe close. */
function interruption(printer: Printer): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    printer.note('');
    controller.abort(new DOMException('interrupted', 'AbortError'));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

function describe(cluster: LocalCluster): object {
  return {
    platform: cluster.platform,
    directory: cluster.directory,
    nats: cluster.connection.servers,
    nodes: cluster.nodes.map((node) => ({
      node: node.name,
      pid: node.process.pid,
      http: node.httpUrl,
      proxies: node.proxyUrls,
      log: node.process.logFile,
    })),
  };
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function introduce(cluster: LocalCluster, options: UpOptions): string {
  const apps = [...new Set(cluster.nodes.flatMap((node) => Object.keys(node.proxyUrls)))];
  const table = renderTable(
    ['NODE', 'PID', 'HEALTH', ...apps.map((app) => `${app.toUpperCase()} THROUGH`)],
    cluster.nodes.map((node) => [
      node.name,
      node.process.pid,
      `${node.httpUrl}/health`,
      ...apps.map((app) => node.proxyUrls[app]),
    ]),
  );
  const where = options.dir === undefined ? '' : ` --dir ${shellWord(cluster.directory)}`;
  const url = apps[0] === undefined ? undefined : cluster.nodes[0]?.proxyUrls[apps[0]];
  return [
    '',
    `platform ${cluster.platform} is up on ${cluster.connection.servers.join(', ')}`,
    '',
    table,
    '',
    'Try, in another terminal:',
    `  npx canopy status${where}`,
    ...(apps[0] === undefined
      ? []
      : [`  npx canopy app status ${apps[0]}${where}`, `  npx canopy stepdown ${apps[0]}${where}`]),
    ...(url === undefined || options.example !== 'ledger'
      ? []
      : [
          `  curl ${url}/accounts`,
          `  curl -X PUT ${url}/transfers/t1 -d '{"from":"acct-1","to":"acct-2","amount":5}'`,
          '  kill -9 PID         (any node; then ask another one for the transfer)',
        ]),
    '',
    'ctrl-C stops everything; the data stays.',
  ].join('\n');
}
