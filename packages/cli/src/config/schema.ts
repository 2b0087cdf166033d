/**
 * The configuration file's shape. Unknown keys are faults. Durations are texts such as "10s". Paths may be relative to the
 * file. `{node}`, `{dataDir}`, `{db}` and, under `canopy up`, `{index}` and `{port:NAME}` are filled in inside app sections.
 */
import { nameProblem, parseDuration } from '@canopy/core';
import { z } from 'zod';

/** Undefined when the name is fine, else what is wrong with it and what is allowed. */
export function nameFault(kind: 'platform' | 'node' | 'app', value: string): string | undefined {
  const problem = nameProblem(kind, value);
  if (problem === undefined) return undefined;
  const article = kind === 'app' ? 'an' : 'a';
  const allowed = `1 to 63 letters, digits and "-"${kind === 'node' ? ' or "_"' : ''}, beginning with a letter or digit`;
  return `"${value}" may not be ${article} ${kind} name: ${problem}; use ${allowed}`;
}

const name = (kind: 'platform' | 'node') =>
  z.string().superRefine((value, context) => {
    const message = nameFault(kind, value);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  });
const duration = z.union([z.string(), z.number()]).refine((value) => parseDuration(value) !== undefined, {
  message: 'must be a duration such as "10s" or milliseconds',
});
const listen = z.string().regex(/^(\[[0-9a-f:]+\]|[^:\s]+):(\d{1,5}|\{port:[a-zA-Z0-9-]+\})$/i, {
  message: 'must be host:port, such as 127.0.0.1:8080',
});
const text = z.string().min(1, { message: 'must not be empty' });

export const natsSchema = z.strictObject({
  servers: z.array(text).min(1, { message: 'must name at least one server' }),
  user: text.optional(),
  password: text.optional(),
  token: text.optional(),
  credentials: text.optional(),
  tls: z.strictObject({ ca: text.optional(), cert: text.optional(), key: text.optional() }).optional(),
});

const databaseSchema = z.strictObject({
  kind: z.literal('sqlite', { message: 'must be "sqlite"' }),
  path: text,
  snapshotInterval: duration.optional(),
  retention: duration.optional(),
  verify: z.enum(['quick', 'full', 'none']).optional(),
  compactionLevels: z.array(duration).optional(),
  keepSegments: duration.optional(),
  keepSnapshots: z.number().int().min(1).optional(),
  verifyInterval: duration.optional(),
  process: z.enum(['own', 'shared']).optional(),
});

const healthSchema = z.strictObject({
  url: text.optional(),
  path: text.optional(),
  interval: duration.optional(),
  timeout: duration.optional(),
});

const backendSchema = z.strictObject({
  kind: z.literal('process', { message: 'must be "process"' }),
  command: z.union([text, z.array(text).min(1)]),
  cwd: text.optional(),
  env: z.record(z.string(), z.string()).optional(),
  address: text.optional(),
  grace: duration.optional(),
  startTimeout: duration.optional(),
  health: healthSchema.optional(),
  restart: z
    .strictObject({
      policy: z.enum(['on-failure', 'always', 'never']).optional(),
      maxRestarts: z.int().min(0).optional(),
      within: duration.optional(),
    })
    .optional(),
  logFile: text.optional(),
});

const proxySchema = z.strictObject({
  listen,
  to: text.optional(),
  writes: z.enum(['replicated', 'async']).optional(),
  queueTimeout: duration.optional(),
  maxQueue: z.int().min(0).optional(),
  maxBodyBytes: z.int().min(0).optional(),
});

export const appSchema = z.strictObject({
  mode: z.literal('singleton', { message: 'must be "singleton"' }).optional(),
  ttl: duration.optional(),
  heartbeatInterval: duration.optional(),
  database: databaseSchema.optional(),
  backend: backendSchema.optional(),
  proxy: proxySchema.optional(),
});

export const configSchema = z.strictObject({
  platform: name('platform'),
  node: name('node').optional(),
  address: text.optional(),
  nats: natsSchema.optional(),
  dataDir: text.optional(),
  labels: z.record(z.string(), z.string()).optional(),
  ttl: duration.optional(),
  http: z.strictObject({ listen }).optional(),
  log: z
    .strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).optional(), file: text.optional() })
    .optional(),
  // The names are checked beside the schema: a faulty one must not hide the faults inside its app.
  apps: z.record(z.string(), appSchema).optional(),
});

export type Config = z.infer<typeof configSchema>;
export type AppConfig = z.infer<typeof appSchema>;
