/** The configuration file of an embedded server, as a pure function: the same facts always give the same text. */
import { hostPort } from './machine/port.ts';

export type ServerAuth = { readonly user: string; readonly password: string } | { readonly token: string };

export interface ServerConfig {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly monitorPort: number | undefined;
  readonly logFile: string;
  /** Undefined: JetStream is off. */
  readonly storeDir: string | undefined;
  readonly syncAlways: boolean;
  readonly auth: ServerAuth | undefined;
  readonly cluster: { readonly name: string; readonly port: number; readonly routes: readonly string[] } | undefined;
}

/** A frozen peer is noticed after about three seconds; the server's own defaults would take minutes. */
const PINGS = ['ping_interval: "1s"', 'ping_max: 2'];

export function renderServerConfig(config: ServerConfig): string {
  const lines = [
    '# Written at each start; changes made here are lost.',
    `server_name: ${quote(config.name)}`,
    `listen: ${quote(hostPort(config.host, config.port))}`,
    ...(config.monitorPort === undefined ? [] : [`http: ${quote(hostPort(config.host, config.monitorPort))}`]),
    ...PINGS,
    `log_file: ${quote(config.logFile)}`,
    'logfile_size_limit: 16777216',
    'logfile_max_num: 2',
    ...authorization(config.auth),
    ...jetstream(config),
    ...cluster(config),
  ];
  return `${lines.join('\n')}\n`;
}

function authorization(auth: ServerAuth | undefined): readonly string[] {
  if (auth === undefined) return [];
  if ('token' in auth) return ['authorization {', `  token: ${quote(auth.token)}`, '}'];
  return ['authorization {', `  user: ${quote(auth.user)}`, `  password: ${quote(auth.password)}`, '}'];
}

function jetstream(config: ServerConfig): readonly string[] {
  if (config.storeDir === undefined) return [];
  return [
    'jetstream {',
    `  store_dir: ${quote(config.storeDir)}`,
    ...(config.syncAlways ? ['  sync_interval: always'] : []),
    '}',
  ];
}

function cluster(config: ServerConfig): readonly string[] {
  if (config.cluster === undefined) return [];
  return [
    'cluster {',
    `  name: ${quote(config.cluster.name)}`,
    `  listen: ${quote(hostPort(config.host, config.cluster.port))}`,
    '  routes: [',
    ...config.cluster.routes.map((route) => `    ${quote(route)}`),
    '  ]',
    '}',
  ];
}

function quote(text: string): string {
  const escaped = text.replace(/[\\"]/g, (character) => `\\${character}`);
  return `"${escaped.replace(/\n/g, '\\n').replace(/\r/g, '\\r').replace(/\t/g, '\\t')}"`;
}
