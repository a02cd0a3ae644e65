using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>The system calls this room needs and .NET does not offer. Structures and numbers as on x86-64 Linux with glibc.</summary>
internal static unsafe partial class LinuxNative
{
    private const string Libc = "libc";

    public const int EPERM = 1;
    public const int ESRCH = 3;
    public const int EINTR = 4;
    public const int EAGAIN = 11;
    public const int EACCES = 13;
    public const int EINVAL = 22;
    public const int ENOSPC = 28;
    public const int EFAULT = 14;
    public const int ENOSYS = 38;

    public const int O_RDONLY = 0;
    public const int O_WRONLY = 1;
    public const int O_RDWR = 2;
    public const int O_CREAT = 0x40;
    public const int O_EXCL = 0x80;
    public const int O_NONBLOCK = 0x800;
    /// <summary>Each write returns when its bytes are on the disk.</summary>
    public const int O_DSYNC = 0x1000;
    /// <summary>Past the page cache.</summary>
    public const int O_DIRECT = 0x4000;
    public const int O_DIRECTORY = 0x10000;
    public const int O_CLOEXEC = 0x80000;
    /// <summary>A file without a name in the folder that is opened (with O_DIRECTORY, which belongs to it).</summary>
    public const int O_TMPFILE = 0x400000 | O_DIRECTORY;

    public const int PROT_READ = 1;
    public const int PROT_WRITE = 2;
    public const int MAP_SHARED = 1;
    public const int MAP_PRIVATE = 2;
    public const int MAP_FIXED = 0x10;
    public const int MAP_ANONYMOUS = 0x20;
    public const int MAP_NORESERVE = 0x4000;

    public const int MADV_HUGEPAGE = 14;
    public const int MADV_DONTDUMP = 16;
    /// <summary>Linux 5.14: maps the pages at once, as if read.</summary>
    public const int MADV_POPULATE_READ = 22;
    /// <summary>Linux 5.14: allocates the pages at once, as if written.</summary>
    public const int MADV_POPULATE_WRITE = 23;

    /// <summary>Linux 6.1: puts small pages together to a large one, now.</summary>
    public const int MADV_COLLAPSE = 25;

    public const short POLLIN = 1;
    public const short POLLHUP = 0x10;

    public const int SIGKILL = 9;

    /// <summary>The kernel's limit of vectors a call (UIO_MAXIOV).</summary>
    public const int MaxVectors = 1024;

    [StructLayout(LayoutKind.Sequential)]
    public struct IoVector
    {
        public ulong Base;
        public ulong Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct MessageHeader
    {
        public void* Name;
        public uint NameLength;
        public IoVector* Vectors;
        public nuint VectorCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    [LibraryImport(Libc, EntryPoint = "usleep")]
    public static partial int SleepMicroseconds(uint microseconds);

    [LibraryImport(Libc, EntryPoint = "process_vm_readv", SetLastError = true)]
    public static partial nint ProcessReadVectors(int pid, IoVector* local, nuint localCount, IoVector* remote, nuint remoteCount, nuint flags);

    [LibraryImport(Libc, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags);

    [LibraryImport(Libc, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int OpenNew(string path, int flags, uint mode);

    [LibraryImport(Libc, EntryPoint = "unlink", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Unlink(string path);

    [LibraryImport(Libc, EntryPoint = "fallocate64", SetLastError = true)]
    public static partial int Allocate(int descriptor, int mode, long offset, long length);

    [LibraryImport(Libc, EntryPoint = "pwrite64", SetLastError = true)]
    public static partial nint WriteAt(int descriptor, byte* buffer, nuint count, long offset);

    [LibraryImport(Libc, EntryPoint = "fdatasync", SetLastError = true)]
    public static partial int SyncData(int descriptor);

    [LibraryImport(Libc, EntryPoint = "close")]
    public static partial int Close(int descriptor);

    [LibraryImport(Libc, EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(int descriptor, byte* buffer, nuint count);

    [LibraryImport(Libc, EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(int descriptor, byte* buffer, nuint count);

    [LibraryImport(Libc, EntryPoint = "pread64", SetLastError = true)]
    public static partial nint ReadAt(int descriptor, byte* buffer, nuint count, long offset);

    [LibraryImport(Libc, EntryPoint = "lseek64", SetLastError = true)]
    public static partial long Seek(int descriptor, long offset, int origin);

    [LibraryImport(Libc, EntryPoint = "mincore", SetLastError = true)]
    public static partial int ResidentPages(nint address, nuint length, byte* pages);

    [LibraryImport(Libc, EntryPoint = "fstatfs", SetLastError = true)]
    public static partial int FileSystem(int descriptor, long* result);

    [LibraryImport(Libc, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Status(int folder, string path, int flags, uint mask, byte* result);

    [LibraryImport(Libc, EntryPoint = "getxattr", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint ExtendedAttribute(string path, string name, byte* value, nuint size);

    [LibraryImport(Libc, EntryPoint = "mmap64", SetLastError = true)]
    public static partial nint Map(nint address, nuint length, int protection, int flags, int descriptor, long offset);

    [LibraryImport(Libc, EntryPoint = "munmap")]
    public static partial int Unmap(nint address, nuint length);

    [LibraryImport(Libc, EntryPoint = "madvise", SetLastError = true)]
    public static partial int Advise(nint address, nuint length, int advice);

    [LibraryImport(Libc, EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int CreateMemoryFile(string name, uint flags);

    [LibraryImport(Libc, EntryPoint = "ftruncate64", SetLastError = true)]
    public static partial int SetLength(int descriptor, long length);

    [LibraryImport(Libc, EntryPoint = "mkfifo", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int MakeFifo(string path, uint mode);

    [LibraryImport(Libc, EntryPoint = "chmod", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int ChangeMode(string path, uint mode);

    [LibraryImport(Libc, EntryPoint = "poll", SetLastError = true)]
    public static partial int Poll(PollDescriptor* descriptors, nuint count, int milliseconds);

    [LibraryImport(Libc, EntryPoint = "kill", SetLastError = true)]
    public static partial int Kill(int pid, int signal);

    [LibraryImport(Libc, EntryPoint = "getppid")]
    public static partial int ParentProcess();

    [LibraryImport(Libc, EntryPoint = "pipe2", SetLastError = true)]
    public static partial int Pipe(int* descriptors, int flags);

    [LibraryImport(Libc, EntryPoint = "fcntl", SetLastError = true)]
    public static partial int FileControl(int descriptor, int command, nint argument);

    [LibraryImport(Libc, EntryPoint = "socketpair", SetLastError = true)]
    public static partial int SocketPair(int domain, int type, int protocol, int* descriptors);

    [LibraryImport(Libc, EntryPoint = "send", SetLastError = true)]
    public static partial nint Send(int socket, byte* buffer, nuint count, int flags);

    [LibraryImport(Libc, EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(int socket, byte* buffer, nuint count, int flags);

    /// <summary>
    /// What has arrived, without ever waiting. A monitor's socket is shared by two processes: what poll saw may be gone when one gets to read it, and a waiting read would
    /// then wait for ever.
    /// </summary>
    /// <returns>Bytes read; 0 when the other end closed; -1 when there is nothing now; -2 on an error.</returns>
    public static int ReceiveNow(int socket, Span<byte> buffer)
    {
        const int DontWait = 0x40;
        fixed (byte* start = buffer)
        {
            var got = Receive(socket, start, (nuint)buffer.Length, DontWait);
            if (got >= 0)
                return (int)got;
        }
        return Marshal.GetLastPInvokeError() is EAGAIN or EINTR ? -1 : -2;
    }

    [LibraryImport(Libc, EntryPoint = "shutdown", SetLastError = true)]
    public static partial int Shutdown(int socket, int how);

    [LibraryImport(Libc, EntryPoint = "waitpid", SetLastError = true)]
    public static partial int WaitProcess(int pid, int* status, int options);

    [LibraryImport(Libc, EntryPoint = "syscall", SetLastError = true)]
    private static partial nint SystemCall(nint number, nint first, nint second);

    [LibraryImport(Libc, EntryPoint = "syscall", SetLastError = true)]
    private static partial nint SystemCall(nint number, nint first, nint second, nint third);

    [LibraryImport(Libc, EntryPoint = "syscall", SetLastError = true)]
    private static partial nint SystemCall(nint number, nint first, nint second, nint third, nint fourth, nint fifth);

    [LibraryImport(Libc, EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Control(int descriptor, nuint request, void* argument);

    [LibraryImport(Libc, EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMessage(int socket, MessageHeader* message, int flags);

    /// <summary>A descriptor that stands for a process and not for its number (pidfd_open, Linux 5.3); -1 on failure.</summary>
    public static int OpenProcess(int pid)
    {
        const int PidfdOpen = 434;
        return (int)SystemCall(PidfdOpen, pid, 0);
    }

    /// <summary>A copy of another process's descriptor (pidfd_getfd, Linux 5.6; needs the right to trace it); -1 on failure.</summary>
    public static int TakeDescriptor(int pidDescriptor, int number)
    {
        const int PidfdGetFd = 438;
        return (int)SystemCall(PidfdGetFd, pidDescriptor, number, 0);
    }

    /// <summary>Advice about another process's memory (process_madvise, Linux 5.10; needs CAP_SYS_NICE and the right to read it); bytes advised, -1 on failure.</summary>
    public static nint AdviseProcess(int pidDescriptor, IoVector part, int advice)
    {
        const int ProcessAdvise = 440;
        return SystemCall(ProcessAdvise, pidDescriptor, (nint)(&part), 1, advice, 0);
    }

    /// <summary>True when a process behind a pidfd has ended.</summary>
    public static bool HasEnded(int pidDescriptor)
    {
        var poll = new PollDescriptor { Descriptor = pidDescriptor, Events = POLLIN };
        return Poll(&poll, 1, 0) > 0 && (poll.Returned & POLLIN) != 0;
    }

    /// <summary>Writes bytes to a socket and passes one descriptor with them (SCM_RIGHTS). False on failure, see the last error.</summary>
    public static bool SendWithDescriptor(int socket, ReadOnlySpan<byte> bytes, int descriptor)
    {
        const int SolSocket = 1;
        const int ScmRights = 1;
        const int MsgNoSignal = 0x4000;
        // struct cmsghdr { size_t len; int level; int type; } followed by the descriptor, padded to 8.
        var control = stackalloc byte[24];
        *(ulong*)control = 16 + sizeof(int);
        *(int*)(control + 8) = SolSocket;
        *(int*)(control + 12) = ScmRights;
        *(ulong*)(control + 16) = 0;
        *(int*)(control + 16) = descriptor;
        fixed (byte* start = bytes)
        {
            var vector = new IoVector { Base = (ulong)start, Length = (ulong)bytes.Length };
            var message = new MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = 24 };
            return SendMessage(socket, &message, MsgNoSignal) == bytes.Length;
        }
    }

    /// <summary>The text of an error number.</summary>
    public static string Describe(int error) => Marshal.GetPInvokeErrorMessage(error);
}
