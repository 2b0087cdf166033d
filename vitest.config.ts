import { defineConfig } from 'vitest/config';

/** Real faults that take their time: minutes of waiting for leases and clusters. `npm run test:faults` runs them. */
const FAULTS = [
  'packages/election/test/{faults,interop}/**/*.int.test.ts',
  'packages/election/test/failsafe/failsafe.int.test.ts',
  'packages/election/test/warden/option.int.test.ts',
  'packages/election/test/chaos.int.test.ts',
  'packages/nats/test/blobs/sweep.int.test.ts',
  'packages/nats/test/streams/cluster.int.test.ts',
  'packages/replication/test/event-subscriber/many-kills.int.test.ts',
  'packages/sqlite/test/database/shared-process.int.test.ts',
  'e2e/test/replication-crash/many-rounds.int.test.ts',
  'packages/sqlite/test/standalone/better-sqlite3.int.test.ts',
  'packages/sqlite/test/standalone/decisions.int.test.ts',
  'packages/sqlite/test/standby/large-apply.int.test.ts',
];

/** Three projects: pure tests, seeded simulation, and tests with real servers and processes (one file at a time). */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'packages/*/test/**/*.test.ts',
            'scripts/test/**/*.test.ts',
            'examples/*/test/**/*.test.ts',
            'e2e/test/**/*.test.ts',
            'bench/test/**/*.test.ts',
          ],
          exclude: ['**/node_modules/**', '**/*.int.test.ts', '**/*.sim.test.ts'],
          testTimeout: 20_000,
        },
      },
      { test: { name: 'sim', include: ['packages/*/test/**/*.sim.test.ts'], testTimeout: 120_000 } },
      {
        test: {
          name: 'integration',
          include: [
            'packages/*/test/**/*.int.test.ts',
            'examples/*/test/**/*.int.test.ts',
            'e2e/test/**/*.int.test.ts',
            'bench/test/**/*.int.test.ts',
            'scripts/test/**/*.int.test.ts',
          ],
          exclude: ['**/node_modules/**', ...FAULTS],
          testTimeout: 90_000,
          hookTimeout: 90_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'faults',
          include: FAULTS,
          testTimeout: 90_000,
          hookTimeout: 90_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
