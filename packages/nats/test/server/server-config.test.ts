import { describe, expect, it } from 'vitest';
import { renderServerConfig, type ServerConfig } from '../../src/server/server-config.ts';

const single: ServerConfig = {
  name: 'n1',
  host: '127.0.0.1',
  port: 4222,
  monitorPort: undefined,
  logFile: '/data/nats-server.log',
  storeDir: '/data',
  syncAlways: true,
  auth: undefined,
  cluster: undefined,
};

describe('renderServerConfig', () => {
  it('writes one text for one server', () => {
    expect(renderServerConfig(single)).toBe(`# Written at each start; changes made here are lost.
server_name: "n1"
listen: "127.0.0.1:4222"
ping_interval: "1s"
ping_max: 2
log_file: "/data/nats-server.log"
logfile_size_limit: 16777216
logfile_max_num: 2
jetstream {
  store_dir: "/data"
  sync_interval: always
}
`);
  });

  it('adds what is asked for', () => {
    const text = renderServerConfig({
      ...single,
      monitorPort: 8222,
      syncAlways: false,
      auth: { token: 'a"b\\c' },
      cluster: { name: 'c', port: 6222, routes: ['nats://127.0.0.1:6222', 'nats://127.0.0.1:6223'] },
    });
    expect(text).toContain('http: "127.0.0.1:8222"');
    expect(text).toContain('token: "a\\"b\\\\c"');
    expect(text).not.toContain('sync_interval');
    expect(text).toContain('  routes: [\n    "nats://127.0.0.1:6222"\n    "nats://127.0.0.1:6223"\n  ]');
  });

  it('leaves JetStream out when it is off', () => {
    expect(renderServerConfig({ ...single, storeDir: undefined })).not.toContain('jetstream');
  });
});
