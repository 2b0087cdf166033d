/** The examples that ship with the checkout, as app templates for `canopy up --example NAME`. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../config/load.ts';
import type { AppConfig } from '../config/schema.ts';
import { cliErrors } from '../errors.ts';

const EXAMPLES = fileURLToPath(new URL('../../../../examples', import.meta.url));

export interface AppTemplates {
  readonly platform: string;
  readonly apps: Readonly<Record<string, AppConfig>>;
  readonly directory: string;
  readonly ttl: string | number | undefined;
}

export function exampleTemplates(name: string): AppTemplates {
  const known = existsSync(EXAMPLES)
    ? readdirSync(EXAMPLES).filter((entry) => existsSync(join(EXAMPLES, entry, 'canopy.yaml')))
    : [];
  if (!known.includes(name)) {
    const list = known.length === 0 ? 'none here: examples come with a checkout' : known.join(', ');
    throw cliErrors.create('USAGE', {
      command: 'npx canopy up',
      problem: `there is no example "${name}"; there are: ${list}`,
    });
  }
  return fileTemplates(join(EXAMPLES, name, 'canopy.yaml'));
}

export function fileTemplates(file: string): AppTemplates {
  const { config, file: path } = loadConfig(file);
  return { platform: config.platform, apps: config.apps ?? {}, directory: dirname(path), ttl: config.ttl };
}
