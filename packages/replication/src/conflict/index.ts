/** Conflict resolution: strategies that make one version of several, and values that never conflict. */
export { EnableWinsFlag, type EnableWinsFlagState } from '../crdt/enable-wins-flag.ts';
export { GCounter, type GCounterState } from '../crdt/g-counter.ts';
export { GSet } from '../crdt/g-set.ts';
export { LWWMap, type LWWMapState } from '../crdt/lww-map.ts';
export { LWWRegister } from '../crdt/lww-register.ts';
export { isMergeable, MERGEABLE, type Mergeable } from '../crdt/mergeable.ts';
export { MVRegister, type MVRegisterState } from '../crdt/mv-register.ts';
export { ORSet, type ORSetState } from '../crdt/or-set.ts';
export { PNCounter, type PNCounterState } from '../crdt/pn-counter.ts';
export type { Stamp } from '../values/stamp.ts';
export { CRDTMergeStrategy } from './crdt-merge.ts';
export { type CustomResolver, CustomResolverStrategy } from './custom.ts';
export type {
  ConflictEntry,
  ConflictResult,
  EntryClock,
  EntryClock as VectorClock,
  Resolution,
  ResolutionStrategy,
} from './entry.ts';
export { writeFields } from './field-clocks.ts';
export { type FieldMergeOptions, FieldMergeStrategy } from './field-merge.ts';
export type { FieldClocks } from './field-tree.ts';
export { LastWriteWinsStrategy } from './last-write-wins.ts';
export { ConflictResolver } from './resolver.ts';
export { VersionVectorStrategy } from './version-vector.ts';
