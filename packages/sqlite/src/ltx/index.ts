/** The LTX format on its own, for tools that read or make such files without a log. */
export { type DecodedLtx, decodeLtx } from './decoder.ts';
export { encodeLtx } from './encoder.ts';
export type { LtxHeader, LtxPage, PageEncoding } from './header.ts';
