/** Conflicts a second. Baseline: the bare comparison with a result object, no checks, no tie-break. */
import {
  ConflictResolver,
  FieldMergeStrategy,
  LastWriteWinsStrategy,
  VersionVectorStrategy,
} from '@canopy/replication';
import type { Report } from '../../harness.ts';
import { inTurns } from './turns.ts';

interface Customer {
  readonly name: string;
  readonly email: string;
  readonly age: number;
}
type Version = Parameters<ConflictResolver<Customer>['resolve']>[0];

const PAIRS = 1024;

export function measureResolver(report: Report, calls: number): void {
  const pairs = Array.from({ length: PAIRS }, (_, i) => [version(i, 'a', i % 7), version(i, 'b', i % 5)] as const);
  const fewer = Math.ceil(calls / 20);
  const all = (times: number, resolve: (a: Version, b: Version) => { timestamp: number }) => () => () => {
    let sum = 0;
    for (let i = 0; i < times; i++) {
      const [a, b] = pairs[i % PAIRS] as (typeof pairs)[number];
      sum += resolve(a, b).timestamp;
    }
    return sum;
  };
  const by = (strategy: ConstructorParameters<typeof ConflictResolver<Customer>>[0]) => {
    const resolver = new ConflictResolver<Customer>(strategy);
    return (a: Version, b: Version) => resolver.resolve(a, b);
  };
  const ms = inTurns({
    lww: all(calls, by(new LastWriteWinsStrategy())),
    bare: all(calls, (a, b) => ({ ...(a.timestamp >= b.timestamp ? a : b), resolution: 'either' })),
    vectors: all(fewer, by(new VersionVectorStrategy())),
    fields: all(fewer, by(new FieldMergeStrategy())),
    spread: all(fewer, (a, b) => ({ ...b, value: { ...a.value, ...b.value } })),
  });
  const millions = (times: number, name: keyof typeof ms): number => times / ms[name] / 1000;
  report.figure('resolve_lww', 'M/s', millions(calls, 'lww'), millions(calls, 'bare'), { of: 'value', atLeast: 3 });
  report.figure('resolve_version_vector', 'M/s', millions(fewer, 'vectors'), millions(calls, 'bare'));
  report.figure('resolve_fields', 'M/s', millions(fewer, 'fields'), millions(fewer, 'spread'));
}

function version(i: number, nodeId: string, timestamp: number): Version {
  return {
    value: { name: `customer ${i}`, email: `${i}@example.org`, age: i % 90 },
    timestamp,
    nodeId,
    vectorClock: { entries: { a: nodeId === 'a' ? 2 : 1, b: nodeId === 'b' ? 2 : 1 } },
  };
}
