/**
 * How to reach NATS, as plain JSON: it travels to child processes (the warden, database processes), which open
 * connections of their own. Secrets in it are never logged; `describeConnection` gives the part that may be.
 */
export interface ConnectionSpec {
  /** `nats://host:port`, several for a cluster. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** Path of a `.creds` file. */
  readonly credentials?: string;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** The servers without user names and passwords, for messages. */
export function describeConnection(spec: ConnectionSpec): string {
  return spec.servers.map((server) => server.replace(/\/\/[^@/]*@/, '//')).join(', ');
}
