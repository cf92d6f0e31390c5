/*
 * A stand-in for the one function of bcryptprimitives.dll that Rust's std calls, for Wine versions that lack the DLL.
 * It goes into a test prefix only and is never shipped: a real Windows brings its own.
 */
#include <windows.h>

/* RtlGenRandom, under the name by which advapi32 exports it. */
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
    const SIZE_T most = 1u << 28; /* one call takes a 32-bit length */

    while (length > 0) {
        ULONG part = (ULONG)(length < most ? length : most);
        if (!SystemFunction036(buffer, part))
            return FALSE;
        buffer += part;
        length -= part;
    }
    return TRUE;
}
