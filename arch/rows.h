/*
 * Runs of numbered registers for the register tables: GC_ROWS_16(M) is
 * M(0) M(1) .. M(15). Private to arch/.
 */
#ifndef GOCORE_ARCH_ROWS_H
#define GOCORE_ARCH_ROWS_H

#define GC_ROWS_8(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)
#define GC_ROWS_16(M) GC_ROWS_8(M) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define GC_ROWS_16_TO_31(M)                              \
	M(16) M(17) M(18) M(19) M(20) M(21) M(22) M(23) \
	M(24) M(25) M(26) M(27) M(28) M(29) M(30) M(31)
#define GC_ROWS_32(M) GC_ROWS_16(M) GC_ROWS_16_TO_31(M)

/* Fields of a <flags> type */
#define GC_FLAG(name, bit) "<field name=\"" name "\" start=\"" #bit "\" end=\"" #bit "\" type=\"bool\"/>\n"
#define GC_BITS(name, start, end) \
	"<field name=\"" name "\" start=\"" #start "\" end=\"" #end "\" type=\"uint32\"/>\n"
#define GC_FIELD(name, type) "<field name=\"" name "\" type=\"" type "\"/>\n"
#define GC_VECTOR(id, type, count) "<vector id=\"" id "\" type=\"" type "\" count=\"" #count "\"/>\n"

#endif
