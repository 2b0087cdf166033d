/** Elections seen and asked from outside: who leads which group, and the request to step down. */
export { controlErrors } from './errors.ts';
export { type GroupLease, groupLeaseOf, readGroups } from './group-lease.ts';
export { type GroupChange, watchGroups } from './group-watch.ts';
export { ElectionResponder, type ElectionResponderOptions } from './responder.ts';
export { type RequestStepDownOptions, requestStepDown, type SteppedDown } from './step-down.ts';
export { controlSubject } from './subjects.ts';
