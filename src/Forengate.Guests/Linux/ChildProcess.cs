using System.Collections;
using System.Runtime.InteropServices;
using System.Text;

namespace Forengate.Guests;

/// <summary>Starts a program in a session of its own, with the descriptors it is given and no others (posix_spawn with POSIX_SPAWN_SETSID, glibc 2.26).</summary>
internal static unsafe partial class ChildProcess
{
    /// <summary>Room for posix_spawn_file_actions_t (80 bytes with glibc), posix_spawnattr_t (336) and sigset_t (128).</summary>
    private const int OpaqueSize = 1024;

    private const short SetSignalDefaults = 0x04;
    private const short SetSignalMask = 0x08;
    private const short SetSession = 0x80;

    [LibraryImport("libc", EntryPoint = "posix_spawn", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Spawn(int* pid, string path, void* actions, void* attributes, byte** arguments, byte** environment);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_init")]
    private static partial int InitializeActions(void* actions);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_destroy")]
    private static partial int DestroyActions(void* actions);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_adddup2")]
    private static partial int AddDuplicate(void* actions, int from, int to);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_addopen", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int AddOpen(void* actions, int descriptor, string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_init")]
    private static partial int InitializeAttributes(void* attributes);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_destroy")]
    private static partial int DestroyAttributes(void* attributes);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setflags")]
    private static partial int SetFlags(void* attributes, short flags);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigdefault")]
    private static partial int SetDefaults(void* attributes, void* signals);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigmask")]
    private static partial int SetMask(void* attributes, void* signals);

    [LibraryImport("libc", EntryPoint = "sigemptyset")]
    private static partial int EmptySet(void* signals);

    [LibraryImport("libc", EntryPoint = "sigfillset")]
    private static partial int FillSet(void* signals);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Control(int descriptor, int command, int argument);

    /// <summary>Starts the program; descriptor i of <paramref name="descriptors"/> becomes number 3 + i in it, 0 and 1 lead to /dev/null, 2 stays.</summary>
    /// <returns>The process number.</returns>
    public static int Start(string path, IReadOnlyList<string> arguments, IReadOnlyList<int> descriptors)
    {
        const int DuplicateCloseOnExec = 1030;
        const int AwayFromTargets = 64;
        byte* actions = stackalloc byte[OpaqueSize], attributes = stackalloc byte[OpaqueSize], signals = stackalloc byte[OpaqueSize];
        var moved = new List<Descriptor>();
        using var argumentBlock = new StringBlock([path, .. arguments]);
        using var environmentBlock = new StringBlock(EnvironmentLines());
        Check(InitializeActions(actions));
        Check(InitializeAttributes(attributes));
        try
        {
            Check(AddOpen(actions, 0, "/dev/null", LinuxNative.O_RDONLY, 0));
            Check(AddOpen(actions, 1, "/dev/null", 1, 0));
            for (var i = 0; i < descriptors.Count; i++)
            {
                var away = new Descriptor(Control(descriptors[i], DuplicateCloseOnExec, AwayFromTargets));
                moved.Add(away);
                if (away.IsInvalid)
                    throw new IOException(LinuxNative.Describe(Marshal.GetLastPInvokeError()));
                Check(AddDuplicate(actions, away.Number, 3 + i));
            }
            Check(FillSet(signals));
            Check(SetDefaults(attributes, signals));
            Check(EmptySet(signals));
            Check(SetMask(attributes, signals));
            Check(SetFlags(attributes, SetSignalDefaults | SetSignalMask | SetSession));
            int pid;
            Check(Spawn(&pid, path, actions, attributes, argumentBlock.Pointers, environmentBlock.Pointers));
            return pid;
        }
        finally
        {
            foreach (var descriptor in moved)
                descriptor.Dispose();
            _ = DestroyAttributes(attributes);
            _ = DestroyActions(actions);
        }
    }

    private static void Check(int error)
    {
        if (error != 0)
            throw new IOException(LinuxNative.Describe(error));
    }

    private static List<string> EnvironmentLines()
    {
        var lines = new List<string>();
        foreach (DictionaryEntry entry in Environment.GetEnvironmentVariables())
            lines.Add($"{entry.Key}={entry.Value}");
        return lines;
    }

    /// <summary>A null-terminated array of C strings.</summary>
    private sealed class StringBlock : IDisposable
    {
        private readonly int _count;

        public StringBlock(IReadOnlyList<string> strings)
        {
            _count = strings.Count;
            Pointers = (byte**)NativeMemory.AllocZeroed((nuint)(_count + 1), (nuint)sizeof(byte*));
            for (var i = 0; i < _count; i++)
            {
                var bytes = Encoding.UTF8.GetBytes(strings[i]);
                Pointers[i] = (byte*)NativeMemory.AllocZeroed((nuint)bytes.Length + 1);
                bytes.CopyTo(new Span<byte>(Pointers[i], bytes.Length));
            }
        }

        public byte** Pointers { get; }

        public void Dispose()
        {
            for (var i = 0; i < _count; i++)
                NativeMemory.Free(Pointers[i]);
            NativeMemory.Free(Pointers);
        }
    }
}
