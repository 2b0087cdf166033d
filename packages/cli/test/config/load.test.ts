import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'canopy-config-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function file(text: string, name = 'canopy.yaml'): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const GOOD = `
platform: prod
node: n1
nats: { servers: ['nats://127.0.0.1:4222'] }
apps:
  ledger:
    database: { kind: sqlite, path: ledger.db }
    backend: { kind: process, command: [node, main.ts], health: { path: /healthz } }
    proxy: { listen: '127.0.0.1:8080' }
`;

describe('loadConfig', () => {
  it('reads YAML, and JSON as well', () => {
    const { config } = loadConfig(file(GOOD));
    expect(config.apps?.ledger?.proxy?.listen).toBe('127.0.0.1:8080');
    expect(loadConfig(file(JSON.stringify(config), 'c.json')).config).toEqual(config);
  });

  it('lets the environment and flags overrule the file', () => {
    const { config } = loadConfig(file(GOOD), { node: 'n9', platform: 'test', servers: ['nats://h:1'] });
    expect([config.node, config.platform, config.nats?.servers]).toEqual(['n9', 'test', ['nats://h:1']]);
  });

  it('names a missing file, a directory and a syntax fault with its line', () => {
    expect(() => loadConfig(join(directory, 'none.yaml'))).toThrow(expect.objectContaining({ code: 'CONFIG_MISSING' }));
    expect(() => loadConfig(directory)).toThrow(expect.objectContaining({ code: 'CONFIG_UNREADABLE' }));
    expect(() => loadConfig(file('platform: prod\napps: [unclosed\n'))).toThrow(
      expect.objectContaining({ code: 'CONFIG_SYNTAX', message: expect.stringMatching(/line \d/) }),
    );
  });

  it('reports every fault at once, with its path, and the nearest key for an unknown one', () => {
    const faulty = GOOD.replace('platform: prod', 'platform: my_prod')
      .replace('database:', 'databse:')
      .replace('kind: process', 'kind: docker')
      .replace("listen: '127.0.0.1:8080'", 'listen: 8080')
      .replace('node: n1', 'node: n1\nttl: soon');
    let error: unknown;
    try {
      loadConfig(file(faulty));
    } catch (e) {
      error = e;
    }
    const { faults } = (error as { fields: { faults: string[] } }).fields;
    const text = faults.join('\n');
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    expect(text).toContain('platform: "my_prod" may not be a platform name: it contains "_"');
    expect(text).toContain('apps.ledger.databse: unknown key; did you mean "database"?');
    expect(text).toContain('apps.ledger.backend.kind: must be');
    expect(text).toContain('apps.ledger.proxy.listen: must be');
    expect(text).toContain('ttl: ');
    expect(faults).toHaveLength(5);
  });

  it('a faulty app name is told with what is allowed, and does not hide the faults inside the app', () => {
    const faulty = GOOD.replace('  ledger:', '  my_ledger:').replace('command: [node, main.ts]', 'command: 7');
    const apps = 'platform: prod\napps: [ledger]\nnats: nats://h:1\n';
    expect(() => loadConfig(file(faulty))).toThrow(
      /apps.my_ledger: "my_ledger" may not be an app name: .*; use 1 to 63/,
    );
    expect(() => loadConfig(file(faulty))).toThrow(/apps.my_ledger.backend.command: /);
    expect(() => loadConfig(file(apps))).toThrow(/apps: must be a section \(keys and values\), is \["ledger"\]/);
    expect(() => loadConfig(file(GOOD.replace("['nats://127.0.0.1:4222']", 'nats')))).toThrow(
      /nats.servers: must be a list, is "nats"/,
    );
  });

  it.each(['', '[]', '42', 'null'])('a file that holds %j is refused, not taken for an empty configuration', (text) => {
    expect(() => loadConfig(file(text))).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});
