namespace Forengate.Symbols;

/// <summary>The fields of the schema, as text: it is read once, in a fraction of the time that so many rows of code would take to run.</summary>
internal static class KernelFieldTable
{
    /// <summary>
    /// A line that is not indented further begins with a structure, by its <see cref="KernelStruct"/> member; then its fields, in the order of <see cref="KernelField"/>.
    /// A structure may come again: new rows are added at the end.
    /// </summary>
    private const string Text = """
        DISPATCHER_HEADER Type Size SignalState WaitListHead
        LIST_ENTRY Flink Blink
        UNICODE_STRING Length MaximumLength Buffer
        KPROCESS Header ProfileListHead DirectoryTableBase UserDirectoryTableBase ThreadListHead ActiveProcessors Affinity BasePriority KernelTime UserTime
            InstrumentationCallback AddressPolicy StackCount
        EPROCESS Pcb ProcessLock CreateTime ExitTime UniqueProcessId ActiveProcessLinks InheritedFromUniqueProcessId ImageFileName
            SeAuditProcessCreationInfo ImageFilePointer ActiveThreads ThreadListHead Peb Session SessionProcessLinks Wow64Process|WoW64Process ObjectTable
            Token SectionObject SectionBaseAddress VadRoot ExitStatus Job Flags Flags2 Flags3 Cookie DebugPort OwnerProcessId Protection SignatureLevel
            SectionSignatureLevel PriorityClass VirtualSize PeakVirtualSize CommitCharge Vm QuotaBlock ExceptionPortData MmProcessLinks ProcessQuotaUsage
            ReadOperationCount WriteOperationCount HighestUserAddress DeviceMap Win32Process AddressCreationLock NumberOfPrivatePages PrimaryTokenFrozen
            VadCount VadHint SequenceNumber TrustletIdentity DefaultHardErrorProcessing LastThreadExitStatus
        EWOW64PROCESS Peb Machine NtdllType
        KTHREAD Header InitialStack StackLimit StackBase KernelStack TrapFrame State WaitReason WaitMode WaitIrql Priority BasePriority Teb Process ApcState
            ThreadListEntry ContextSwitches KernelTime UserTime PreviousMode Running NextProcessor ApcQueueable WaitTime Win32Thread SystemThread Affinity
            WaitBlock WaitListEntry Queue SystemCallNumber CurrentRunTime
        KAPC_STATE ApcListHead Process
        ETHREAD Tcb CreateTime ExitTime ExitStatus Cid ThreadListEntry StartAddress Win32StartAddress CrossThreadFlags ThreadName IrpList
        CLIENT_ID UniqueProcess UniqueThread
        KPCR NtTib GdtBase TssBase UserRsp Self CurrentPrcb LockArray Used_Self IdtBase Irql MajorVersion MinorVersion Prcb KdVersionBlock
        KPRCB MxCsr LegacyNumber CurrentThread NextThread IdleThread Number NestingLevel MajorVersion MinorVersion BuildType CpuVendor CpuID CpuType
            CpuModel CpuStep CpuStepping MHz ProcessorState Context ContextFlags KernelDirectoryTableBase RspBaseShadow UserRspShadow ShadowFlags RspBase
            VendorString InitialApicId FeatureBits ExtendedState DpcData TimerTable DpcStack InterruptTime KernelTime UserTime DpcTime KeSystemCalls
            GroupSetMember Group GroupIndex ParentNode DispatcherReadyListHead WaitListHead HyperPte IsrStack CacheCount Cache PowerState UpdateSignature
            InterruptCount MmPageFaultCount
        KPROCESSOR_STATE SpecialRegisters ContextFrame
        KSPECIAL_REGISTERS Cr0 Cr2 Cr3 Cr4 KernelDr0 KernelDr1 KernelDr2 KernelDr3 KernelDr6 KernelDr7 Gdtr Idtr Tr Ldtr MxCsr DebugControl LastBranchToRip
            LastBranchFromRip LastExceptionToRip LastExceptionFromRip Cr8 MsrGsBase MsrGsSwap MsrStar MsrLStar MsrCStar MsrSyscallMask Xcr0 MsrFsBase
            SpecialPadding0
        KDESCRIPTOR Limit Base
        CONTEXT P1Home ContextFlags MxCsr SegCs SegDs SegEs SegFs SegGs SegSs EFlags Dr0 Dr1 Dr2 Dr3 Dr6 Dr7 Rax Rcx Rdx Rbx Rsp Rbp Rsi Rdi R8 R9 R10 R11
            R12 R13 R14 R15 Rip FltSave VectorRegister VectorControl DebugControl LastBranchToRip LastBranchFromRip LastExceptionToRip LastExceptionFromRip
        KTRAP_FRAME P1Home PreviousMode PreviousIrql FaultIndicator ExceptionActive MxCsr Rax Rcx Rdx R8 R9 R10 R11 GsBase Xmm0 FaultAddress Dr0 Rbx Rdi Rsi
            Rbp Rip SegCs EFlags Rsp SegSs
        KTSS64 Rsp0 Ist IoMapBase
        KIDTENTRY64 OffsetLow Selector OffsetMiddle OffsetHigh
        KUSER_SHARED_DATA TickCountMultiplier InterruptTime SystemTime TimeZoneBias ImageNumberLow NtSystemRoot NtProductType ProductTypeIsValid
            NtMajorVersion NtMinorVersion NtBuildNumber SuiteMask KdDebuggerEnabled NumberOfPhysicalPages SafeBootMode SystemExpirationDate TickCount
            TickCountQuad Cookie ConsoleSessionForegroundProcessId BootId XState ActiveProcessorCount ProcessorFeatures SharedDataFlags QpcFrequency
            ActiveConsoleId UserModeGlobalLogger UnparkedProcessorCount ActiveGroupCount QpcBias TimeZoneId
        XSTATE_CONFIGURATION EnabledFeatures Size ControlFlags Features EnabledSupervisorFeatures EnabledVolatileFeatures
            EnabledUserVisibleSupervisorFeatures AllFeatureSize
        KSYSTEM_TIME LowPart High1Time High2Time
        PEB BeingDebugged ImageBaseAddress Ldr ProcessParameters ProcessHeap NumberOfProcessors NtGlobalFlag OSMajorVersion OSMinorVersion OSBuildNumber
            OSCSDVersion CSDVersion SessionId ImageSubsystem NumberOfHeaps ProcessHeaps ApiSetMap
        PEB32 ImageBaseAddress Ldr ProcessParameters
        PEB_LDR_DATA Length Initialized InLoadOrderModuleList InMemoryOrderModuleList InInitializationOrderModuleList
        RTL_USER_PROCESS_PARAMETERS MaximumLength Length Flags ConsoleHandle CurrentDirectory DllPath ImagePathName CommandLine Environment WindowTitle
            DesktopInfo EnvironmentSize
        CURDIR DosPath Handle
        LDR_DATA_TABLE_ENTRY InLoadOrderLinks InMemoryOrderLinks InInitializationOrderLinks DllBase EntryPoint SizeOfImage FullDllName BaseDllName Flags
            LoadCount|ObsoleteLoadCount HashLinks TimeDateStamp LoadTime CheckSum
        KLDR_DATA_TABLE_ENTRY InLoadOrderLinks DllBase EntryPoint SizeOfImage FullDllName BaseDllName Flags LoadCount|ObsoleteLoadCount CheckSum
            TimeDateStamp SectionPointer PatchInformation
        TEB NtTib EnvironmentPointer ClientId ProcessEnvironmentBlock LastErrorValue
        NT_TIB ExceptionList StackBase StackLimit Self
        SE_AUDIT_PROCESS_CREATION_INFO ImageFileName
        OBJECT_NAME_INFORMATION Name
        OBJECT_HEADER PointerCount HandleCount TypeIndex TraceFlags InfoMask Flags SecurityDescriptor Body
        OBJECT_HEADER_NAME_INFO Directory Name
        OBJECT_HEADER_CREATOR_INFO TypeList CreatorUniqueProcess
        OBJECT_TYPE TypeList Name Index TotalNumberOfObjects TotalNumberOfHandles TypeInfo Key CallbackList
        OBJECT_DIRECTORY HashBuckets
        OBJECT_DIRECTORY_ENTRY ChainLink Object HashValue
        HANDLE_TABLE TableCode QuotaProcess HandleCount HandleTableList UniqueProcessId NextHandleNeedingPool Flags
        HANDLE_TABLE_ENTRY Object ObjectPointerBits GrantedAccess|GrantedAccessBits Attributes Value
        EX_FAST_REF Object RefCnt
        TOKEN TokenSource TokenId AuthenticationId ParentTokenId Privileges SessionId UserAndGroupCount UserAndGroups IntegrityLevelIndex TokenType
            ImpersonationLevel LogonSession
        SEP_TOKEN_PRIVILEGES Present Enabled EnabledByDefault
        SID_AND_ATTRIBUTES Sid Attributes
        SID Revision SubAuthorityCount IdentifierAuthority SubAuthority
        EJOB ProcessListHead JobLinks TotalProcesses ActiveProcesses SessionId JobId
        MM_SESSION_SPACE SessionId ProcessList PagedPoolStart PagedPoolEnd
        MMVAD_SHORT VadNode LeftChild RightChild StartingVpn EndingVpn StartingVpnHigh EndingVpnHigh u u1 NextVad
        MMVAD Core Subsection FirstPrototypePte LastContiguousPte LeftChild RightChild StartingVpn EndingVpn ViewLinks VadsProcess FileObject
        MMVAD_FLAGS VadType Protection PrivateMemory MemCommit CommitCharge NoChange
        RTL_AVL_TREE Root
        RTL_BALANCED_NODE Left Right ParentValue
        MM_AVL_TABLE BalancedRoot NumberGenericTableElements NodeHint
        SUBSECTION ControlArea SubsectionBase NextSubsection PtesInSubsection StartingSector
        CONTROL_AREA Segment FilePointer u
        SEGMENT ControlArea TotalNumberOfPtes PrototypePte BasedAddress u1 u2
        SECTION SectionNode StartingVpn EndingVpn u1
        FILE_OBJECT Type Size DeviceObject FileName SectionObjectPointer Flags Vpb
        SECTION_OBJECT_POINTERS DataSectionObject SharedCacheMap ImageSectionObject
        DRIVER_OBJECT Type Size DeviceObject DriverStart DriverSize DriverSection DriverExtension DriverName HardwareDatabase DriverInit DriverStartIo
            DriverUnload MajorFunction
        DRIVER_EXTENSION DriverObject ServiceKeyName
        DEVICE_OBJECT Type Size DriverObject NextDevice AttachedDevice DeviceType DeviceExtension StackSize
        DEVICE_NODE Sibling Child Parent InstancePath ServiceName PhysicalDeviceObject
        IRP Type MdlAddress ThreadListEntry Tail CurrentLocation StackCount
        IO_STACK_LOCATION MajorFunction DeviceObject FileObject
        KTIMER Header DueTime TimerListEntry Dpc Period
        KDPC DeferredRoutine DeferredContext Importance Number DpcData
        KMUTANT Header OwnerThread MutantListEntry
        POOL_HEADER PreviousSize PoolIndex BlockSize PoolType PoolTag ProcessBilled
        POOL_TRACKER_TABLE Key NonPagedBytes PagedBytes NonPagedAllocs PagedAllocs
        POOL_TRACKER_BIG_PAGES Va Key NumberOfBytes
        MMPFN u1 PteAddress u2 u3 OriginalPte u4 Lock
        MMPTE_HARDWARE Valid PageFrameNumber NoExecute
        MMPTE_TRANSITION Valid Protection Prototype Transition PageFrameNumber
        MMPTE_PROTOTYPE Valid Prototype ProtoAddress
        MMPTE_SOFTWARE Valid PageFileLow Protection Prototype Transition PageFileHigh SwizzleBit
        MMPTE_SUBSECTION Prototype SubsectionAddress
        MMPAGING_FILE Size FreeSpace PageFileNumber FileHandle File PageFileName
        PHYSICAL_MEMORY_DESCRIPTOR NumberOfRuns NumberOfPages Run
        PHYSICAL_MEMORY_RUN BasePage PageCount
        CMHIVE Hive FileHandles NotifyList HiveList PreloadedHiveList FileFullPath FileUserName HiveRootPath FlushCount
        HHIVE Signature BaseBlock Storage Version HiveFlags Cluster
        DUAL Length Map SmallDir
        HMAP_DIRECTORY Directory
        HMAP_TABLE Table
        HMAP_ENTRY BlockAddress BinAddress MemAlloc PermanentBinAddress BlockOffset
        HBASE_BLOCK Signature Sequence1 Sequence2 TimeStamp Major Minor RootCell Length FileName
        HBIN Signature FileOffset Size
        CM_KEY_NODE Signature Flags LastWriteTime Parent SubKeyCounts SubKeyLists ValueList Security Class NameLength ClassLength Name
        CM_KEY_VALUE Signature NameLength DataLength Data Type Flags Name
        CM_KEY_INDEX Signature Count List
        CM_KEY_CONTROL_BLOCK ParentKcb NameBlock KeyHive KeyCell KcbLastWriteTime
        CM_NAME_CONTROL_BLOCK NameLength Name Compressed
        CM_KEY_BODY Type KeyControlBlock ProcessID
        KWAIT_BLOCK WaitListEntry Thread Object NextWaitBlock
        KNODE NodeNumber Affinity
        WORK_QUEUE_ITEM List WorkerRoutine Parameter
        ALPC_PORT CommunicationInfo OwnerProcess
        SHARED_CACHE_MAP FileSize ValidDataLength Vacbs
        VACB BaseAddress SharedCacheMap
        MI_SYSTEM_INFORMATION Hardware Vs SystemVa
        EXCEPTION_RECORD ExceptionCode ExceptionFlags ExceptionAddress
        DBGKD_GET_VERSION64 MajorVersion MinorVersion ProtocolVersion KdSecondaryVersion Flags MachineType KernBase PsLoadedModuleList DebuggerDataList
        SINGLE_LIST_ENTRY Next
        STRING Length MaximumLength Buffer
        LARGE_INTEGER LowPart HighPart QuadPart
        LUID LowPart HighPart
        EX_FAST_REF Value
        EX_RUNDOWN_REF Count
        EX_PUSH_LOCK Value
        RTL_BALANCED_NODE Balance
        MM_AVL_TABLE DepthOfTree
        MMADDRESS_NODE u1 LeftChild RightChild StartingVpn EndingVpn
        RTL_BITMAP SizeOfBitMap Buffer
        KAFFINITY_EX Count Size Bitmap
        GROUP_AFFINITY Mask Group
        PROCESSOR_NUMBER Group Number
        DISPATCHER_HEADER Lock Signalling Inserted ThreadControlFlags DebugActive Minimal
        KPROCESS ProcessLock ProcessListEntry ReadyListHead SwapListEntry QuantumReset Visited ThreadSeed IdealNode Flags ProcessFlags CycleTime
            ContextSwitches KernelTimeLow UserTimeLow FreezeCount SecureState SecurePid ActiveGroupsMask AutoAlignment DisableBoost DisableQuantum
            DeepFreeze LdtBaseAddress SchedulingGroup
        EPROCESS Pcb.DirectoryTableBase RundownProtect ProcessQuotaPeak CommitChargeLimit CommitChargePeak ExceptionPortState NumberOfLockedPages JobLinks
            Win32WindowStation EtwDataSource PageDirectoryPte SecurityPort LockedPagesList ActiveThreadsHighWatermark ImagePathHash OtherOperationCount
            ReadTransferCount WriteTransferCount OtherTransferCount AweInfo PhysicalVadRoot VadPhysicalPages AlpcContext CreateInterruptTime
            CreateUnbiasedInterruptTime InvertedFunctionTable Protection.Level Protection.Type Protection.Signer Protection.Audit PicoContext ServerSilo
            EnclaveTable DxgProcess Win32KFilterSet MitigationFlags MitigationFlags2 MitigationFlagsValues MitigationFlags2Values PartitionObject VmContext
            DiskCounters MmReserved ParentSecurityDomain SecurityDomain Machine CreateReported NoDebugInherit ProcessExiting ProcessDelete VmDeleted
            OutswapEnabled Outswapped BreakOnTermination ProcessInserted Wow64VaSpace4Gb AddressSpaceInitialized HasAddressSpace LaunchPrefetched
            ProcessSelfDelete ProcessInSession ProtectedProcess NewProcessReported ExitProcessReported ProcessRundown SystemProcess SubsystemProcess
            PicoCreated Crashed CrossSessionCreate DisableDynamicCode HighEntropyASLREnabled ControlFlowGuardEnabled StackRandomizationDisabled
            DisallowStrippedImages ForceRelocateImages DisallowWin32kSystemCalls ExtensionPointDisable DisableNonSystemFonts HandleTableRundown
            NeedsHandleRundown ProcessStateChangeInProgress ImageNotifyDone OverrideAddressSpace WriteWatch VmTopDown DefaultIoPriority DefaultPagePriority
        PS_PROTECTION Level Type Audit Signer
        KTHREAD CycleTime ThreadLock MiscFlags ThreadFlags Alerted ApcState.Process ApcState.ApcListHead ApcState.KernelApcInProgress
            ApcState.KernelApcPending ApcState.UserApcPending ApcStateIndex SavedApcState WaitStatus WaitBlockList WaitNext QueueListEntry Timer
            FirstArgument CallbackStack CallbackDepth KernelApcDisable SpecialApcDisable CombinedApcDisable UserAffinity IdealProcessor NextProcessorNumber
            SuspendCount FreezeCount MutantListHead StateSaveArea XStateSave NpxState WaitRegister KernelStackResident GuiThread Alertable ProcessReadyQueue
            CalloutActive Preempted SchedulerApc SuspendEvent SuspendSemaphore ThreadCounters SecureThreadCookie KernelShadowStack KernelShadowStackBase
            KernelShadowStackLimit KernelShadowStackInitial CetUserShadowStack CetKernelShadowStack TracingPrivate WaitBlockCount
        KTHREAD_COUNTERS CycleTimeBias ContextSwitches
        KAPC_STATE KernelApcInProgress KernelApcPending UserApcPending
        KAPC Type Size Thread ApcListEntry KernelRoutine RundownRoutine NormalRoutine NormalContext SystemArgument1 SystemArgument2 ApcStateIndex ApcMode
            Inserted
        KWAIT_BLOCK WaitKey WaitType BlockState NotificationQueue
        ETHREAD KeyedWaitChain TerminationPort ActiveTimerListHead Cid.UniqueProcess Cid.UniqueThread KeyedWaitSemaphore AlpcWaitSemaphore ClientSecurity
            TopLevelIrp DeviceToVerify RundownProtect ThreadLock Terminated ThreadInserted HideFromDebugger ActiveImpersonationInfo HardErrorsAreDisabled
            BreakOnTermination SkipCreationMsg SkipTerminationMsg CopyTokenOnOpen ThreadIoPriority ThreadPagePriority RundownFail SameThreadPassiveFlags
            ActiveExWorker MemoryMaker ClonedThread SameThreadApcFlags CacheManagerActive ActiveFaultCount AlpcMessageId AlpcMessage AlpcWaitListEntry
            CacheManagerCount IoBoostCount KernelStackReference BoostList ActivityId UserFsBase UserGsBase PicoContext AdjustedClientToken Silo
            SetContextState LegacyPowerObject ReaperLink CmThreadInfo Tcb.SystemThread PropertySet EnergyValues LockOrderState StartAddressInvalid
        INVERTED_FUNCTION_TABLE CurrentSize MaximumSize Epoch Overflow TableEntry
        INVERTED_FUNCTION_TABLE_ENTRY FunctionTable DynamicTable ImageBase SizeOfImage SizeOfTable
        EJOB Event TotalTerminatedProcesses LimitFlags ActiveProcessLimit SchedulingClass CompletionPort CompletionKey JobFlags ProcessMemoryLimit
            JobMemoryLimit PeakProcessMemoryUsed PeakJobMemoryUsed CurrentJobMemoryUsed ParentJob RootJob ChildJobListHead SiblingJobLinks
            UIRestrictionsClass PriorityClass NestingDepth SequenceNumber ServerSiloGlobals
        EPARTITION MmPartition CcPartition ExPartition HardReferenceCount OpenHandleCount ActivePartitionLinks ParentPartition SystemProcess PairedWithJob
        KPCR SecondLevelCacheAssociativity ObsoleteNumber StallScaleFactor SecondLevelCacheSize
        KPRCB InterruptRequest IdleState PrcbLock ProcessorState.SpecialRegisters ProcessorState.ContextFrame LockQueue IpiFrozen DpcRoutineActive
            QuantumEnd NormalDpcState LastTick ReadySummary WaitLock DpcGate CallDpc NmiActive DebuggerSavedIRQL DpcTimeCount DpcTimeLimit StartCycles
            CycleTime TimerExpirationDpc InterruptObject InterruptObjectPool HypercallPageList VirtualApicAssist PackageProcessorSet Mailbox RequestMailbox
            EntropyTimingState ExceptionStack ProcessorFlags PrcbFlags McheckContext ExtendedSupervisorState ProcessorSignature KernelShadowStackInitial
            IstShadowStacksTable TransitionShadowStack CurrentDpcRoutine KeExceptionDispatchCount
        KSPECIAL_REGISTERS Gdtr.Limit Gdtr.Base Idtr.Limit Idtr.Base
        CONTEXT P2Home P3Home P4Home P5Home P6Home Xmm0 Xmm1 Xmm15
        XSAVE_FORMAT ControlWord StatusWord TagWord ErrorOpcode ErrorOffset ErrorSelector DataOffset DataSelector MxCsr MxCsr_Mask FloatRegisters
            XmmRegisters
        XSAVE_AREA_HEADER Mask CompactionMask
        XSAVE_AREA LegacyState Header
        KTRAP_FRAME P5 GsSwap Xmm1 Xmm2 Xmm3 Xmm4 Xmm5 ContextRecord Dr1 Dr2 Dr3 Dr6 Dr7 DebugControl SegDs SegEs SegFs SegGs TrapFrame ErrorCode
            ExceptionFrame Logging
        KEXCEPTION_FRAME P1Home Xmm6 Xmm15 TrapFrame OutputBuffer MxCsr Rbp Rbx Rdi Rsi R12 R13 R14 R15 Return
        EXCEPTION_RECORD ExceptionRecord NumberParameters ExceptionInformation
        KIDTENTRY64 IstIndex Type Dpl Present
        KGDTENTRY64 LimitLow BaseLow Bytes Bits BaseUpper
        KTSS64 Rsp1 Rsp2
        KNODE PrimaryNodeNumber MaximumProcessors Flags ProximityId ActiveGroups IdleCpuSet Color
        KINTERRUPT Type Size InterruptListEntry ServiceRoutine MessageServiceRoutine ServiceContext DispatchAddress Vector Irql SynchronizeIrql Connected
            Number ShareVector Mode ServiceCount DispatchCount TrapFrame PhysicalDeviceObject
        KTIMER Processor TimerType
        KTIMER2 Header RbNodes ListEntry DueTime Period Callback CallbackContext DisableCallback DisableContext AbsoluteSystemTime TypeFlags
        KTIMER_TABLE TimerExpiry TimerEntries
        KTIMER_TABLE_ENTRY Lock Entry Time
        ETIMER KeTimer TimerApc TimerDpc ActiveTimerListEntry Lock Period
        KDPC Type DpcListEntry SystemArgument1 SystemArgument2 TargetInfoAsUlong
        KDPC_DATA DpcList DpcListHead DpcLock DpcQueueDepth DpcCount ActiveDpc
        KEVENT Header
        KMUTANT Abandoned ApcDisable
        KQUEUE Header EntryListHead CurrentCount MaximumCount ThreadListHead
        KPRIQUEUE Header EntryListHead CurrentCount MaximumCount ThreadListHead
        KUSER_SHARED_DATA TickCountLowDeprecated ImageNumberHigh MaxStackTraceDepth CryptoExponent LargePageMinimum NativeProcessorArchitecture TimeSlip
            AlternativeArchitecture NXSupportPolicy MitigationPolicies CyclesPerYield DismountCount ComPlusPackage LastSystemRITEventTickCount
            VirtualizationFlags DbgErrorPortPresent DbgElevationEnabled DbgVirtEnabled DbgInstallerDetectEnabled DbgSecureBootEnabled DbgMultiSessionSku
            TestRetInstruction SystemCall TimeUpdateLock BaselineSystemTimeQpc BaselineInterruptTimeQpc QpcSystemTimeIncrement QpcInterruptTimeIncrement
            QpcSystemTimeIncrementShift QpcInterruptTimeIncrementShift ImageFileExecutionOptions InterruptTimeBias QpcBypassEnabled QpcShift
            QpcData|TscQpcData TimeZoneBiasEffectiveStart TimeZoneBiasEffectiveEnd XState.EnabledFeatures XState.Size XState.EnabledVolatileFeatures
            XState.OptimizedSave XState.CompactionEnabled XState.ControlFlags XState.Features XState.EnabledSupervisorFeatures XState.AlignedFeatures
            XState.AllFeatureSize XState.AllFeatures XState.EnabledUserVisibleSupervisorFeatures FeatureConfigurationChangeStamp EnclaveFeatureMask
        XSTATE_CONFIGURATION OptimizedSave CompactionEnabled AlignedFeatures AllFeatures
        XSTATE_FEATURE Offset Size
        DBGKD_GET_VERSION64 MaxPacketType MaxStateChange MaxManipulate Simulation
        DUMP_STACK_CONTEXT Init DumpPointers DriverList FileObject UsageType
        LOADER_PARAMETER_BLOCK OsMajorVersion OsMinorVersion LoadOrderListHead MemoryDescriptorListHead BootDriverListHead KernelStack Prcb Process Thread
            RegistryLength RegistryBase ConfigurationRoot ArcBootDeviceName NtBootPathName LoadOptions Extension
        MEMORY_ALLOCATION_DESCRIPTOR ListEntry MemoryType BasePage PageCount
        PEB InheritedAddressSpace BitField IsProtectedProcess IsAppContainer IsPackagedProcess IsProtectedProcessLight Mutant SubSystemData FastPebLock
            CrossProcessFlags KernelCallbackTable TlsBitmap ReadOnlySharedMemoryBase CriticalSectionTimeout MaximumNumberOfHeaps GdiSharedHandleTable
            LoaderLock OSPlatformId ImageSubsystemMajorVersion ImageSubsystemMinorVersion AppCompatFlags pShimData AppCompatInfo ActivationContextData
            SystemDefaultActivationContextData MinimumStackCommit WerRegistrationData CsrServerReadOnlySharedMemoryBase LeapSecondData
        PEB32 BeingDebugged ProcessHeap NumberOfHeaps ProcessHeaps SessionId OSMajorVersion OSMinorVersion OSBuildNumber CSDVersion
        RTL_USER_PROCESS_PARAMETERS ConsoleFlags StandardInput StandardOutput StandardError CurrentDirectory.DosPath CurrentDirectory.Handle WindowFlags
            ShowWindowFlags ShellInfo RuntimeData CurrentDirectores EnvironmentVersion PackageDependencyData ProcessGroupId RedirectionDllName
        PEB_LDR_DATA EntryInProgress ShutdownInProgress ShutdownThreadId
        LDR_DATA_TABLE_ENTRY TlsIndex DdagNode ParentDllBase OriginalBase BaseNameHashValue LoadReason ReferenceCount SigningLevel
        TEB CountOfOwnedCriticalSections Win32ThreadInfo CurrentLocale ExceptionCode ActivationContextStackPointer RealClientId LastStatusValue
            DeallocationStack TlsSlots SubProcessTag IdealProcessor GuaranteedStackBytes ReservedForOle TlsExpansionSlots IsImpersonating WowTebOffset
            ThreadLocalStoragePointer
        TEB32 NtTib ClientId ProcessEnvironmentBlock LastErrorValue
        NT_TIB SubSystemTib FiberData ArbitraryUserPointer
        KLDR_DATA_TABLE_ENTRY ExceptionTable|InMemoryOrderLinks ExceptionTableSize GpValue NonPagedDebugInfo LoadedImports SizeOfImageNotRounded
            CoverageSection CoverageSectionSize u1.SignatureLevel u1.SignatureType
        DRIVER_OBJECT Flags FastIoDispatch
        DRIVER_EXTENSION AddDevice Count ClientDriverExtension FsFilterCallbacks
        DEVICE_OBJECT ReferenceCount CurrentIrp Timer Flags Characteristics Vpb ActiveThreadCount SecurityDescriptor SectorSize DeviceObjectExtension
        DEVOBJ_EXTENSION DeviceObject DeviceNode AttachedTo Vpb ExtensionFlags PowerFlags
        DEVICE_NODE LastChild State PreviousState Flags UserFlags Problem Level CompletionStatus DuplicatePDO ContainerID
        FILE_OBJECT FsContext FsContext2 PrivateCacheMap FinalStatus RelatedFileObject LockOperation DeletePending ReadAccess WriteAccess DeleteAccess
            SharedRead SharedWrite SharedDelete CurrentByteOffset Waiters Busy Lock Event IrpList FileObjectExtension
        VPB Type Size Flags VolumeLabelLength DeviceObject RealDevice SerialNumber ReferenceCount VolumeLabel
        IRP Size Flags AssociatedIrp IoStatus RequestorMode PendingReturned Cancel CancelIrql CancelRoutine UserBuffer UserIosb UserEvent
            Tail.Overlay.Thread Tail.Overlay.CurrentStackLocation Tail.Overlay.OriginalFileObject Tail.Overlay.ListEntry
        IO_STACK_LOCATION MinorFunction Flags Control Parameters CompletionRoutine Context
        MDL Next Size MdlFlags Process MappedSystemVa StartVa ByteCount ByteOffset
        OBJECT_HEADER NextToFree Lock NewObject KernelObject KernelOnlyAccess ExclusiveObject PermanentObject DefaultSecurityQuota SingleHandleEntry
            DeletedInline ObjectCreateInfo QuotaBlockCharged
        OBJECT_HEADER_NAME_INFO ReferenceCount
        OBJECT_HEADER_CREATOR_INFO CreatorBackTraceIndex
        OBJECT_HEADER_HANDLE_INFO HandleCountDataBase SingleEntry
        OBJECT_HEADER_QUOTA_INFO PagedPoolCharge NonPagedPoolCharge SecurityDescriptorCharge SecurityDescriptorQuotaBlock
        OBJECT_HEADER_PROCESS_INFO ExclusiveProcess
        OBJECT_HEADER_AUDIT_INFO SecurityDescriptor
        OBJECT_HEADER_EXTENDED_INFO Footer
        OBJECT_HANDLE_COUNT_ENTRY Process HandleCount LockCount
        OBJECT_TYPE DefaultObject HighWaterNumberOfObjects HighWaterNumberOfHandles TypeInfo.PoolType TypeInfo.ObjectTypeCode
            TypeInfo.DefaultPagedPoolCharge TypeInfo.DefaultNonPagedPoolCharge TypeInfo.GenericMapping TypeInfo.ValidAccessMask TypeLock
        OBJECT_TYPE_INITIALIZER Length ObjectTypeFlags ObjectTypeCode InvalidAttributes GenericMapping ValidAccessMask PoolType DumpProcedure OpenProcedure
            CloseProcedure DeleteProcedure ParseProcedure SecurityProcedure QueryNameProcedure OkayToCloseProcedure MaintainHandleCount MaintainTypeList
            SupportsObjectCallbacks
        OBJECT_DIRECTORY Lock DeviceMap ShadowDirectory NamespaceEntry SessionObject SessionId Flags
        OBJECT_SYMBOLIC_LINK CreationTime LinkTarget DosDeviceDriveIndex Flags Callback CallbackContext AccessMask
        DEVICE_MAP DosDevicesDirectory GlobalDosDevicesDirectory ReferenceCount DriveMap DriveType
        HANDLE_TABLE DebugInfo FreeLists StrictFIFO EnableHandleExceptions Rundown Duplicated
        HANDLE_TABLE_ENTRY LowValue HighValue InfoTable VolatileLowValue Unlocked RefCnt NoRightsUpgrade ObAttributes NextFreeTableEntry NextFreeHandleEntry
        HANDLE_TABLE_FREE_LIST FirstFreeHandleEntry LastFreeHandleEntry HandleCount HighWaterMark
        TOKEN ExpirationTime TokenLock ModifiedId Privileges.Present Privileges.Enabled Privileges.EnabledByDefault AuditPolicy RestrictedSidCount
            VariableLength DynamicCharged DynamicAvailable DefaultOwnerIndex RestrictedSids PrimaryGroup DynamicPart DefaultDacl TokenFlags TokenInUse
            MandatoryPolicy OriginatingLogonSession SidHash RestrictedSidHash pSecurityAttributes Package Capabilities CapabilityCount CapabilitiesHash
            LowboxNumberEntry TrustLevelSid TrustLinkedToken IntegrityLevelSidValue VariablePart SessionObject
        SID_AND_ATTRIBUTES_HASH SidCount SidAttr Hash
        SEP_LOGON_SESSION_REFERENCES Next LogonId BuddyLogonId ReferenceCount Flags pDeviceMap Token AccountName AuthorityName TokenList
        SECURITY_DESCRIPTOR Revision Control Owner Group Sacl Dacl
        SECURITY_DESCRIPTOR_RELATIVE Revision Control Owner Group Sacl Dacl
        ACL AclRevision AclSize AceCount
        ALPC_PORT PortListEntry CompletionPort CompletionKey PortContext StaticSecurity MainQueue PendingQueue LargeMessageQueue WaitQueue PortAttributes
            CanceledQueue SequenceNo u1 MainQueueLength PendingQueueLength WaitQueueLength
        ALPC_COMMUNICATION_INFO ConnectionPort ServerCommunicationPort ClientCommunicationPort CommunicationList HandleTable
        CMHIVE HiveRundown KcbCacheTable KcbCacheTableSize FileObject SecurityCount SecurityCacheSize SecurityCache SecurityHash UnloadEventCount RootKcb
            Frozen Flags TrustClassEntry LastWriteTime DirtyTime UnreconciledTime CreatorOwner ReferenceCount LoadedKeyCount ActualFileSize LogFileSizes
            CmRm VolumeContext Identity UseCount
        HHIVE GetCellRoutine ReleaseCellRoutine HiveLoadFailure DirtyVector DirtyCount DirtyAlloc BaseBlockAlloc Flat ReadOnly DirtyFlag CurrentLog
            StorageTypeCount ViewMap UnreconciledVector UnreconciledCount LogDataPresent PrimaryFileValid BaseBlockDirty
        HBASE_BLOCK Type Format Cluster RmId LogId Flags TmId GuidSignature LastReorganizeTime CheckSum BootType BootRecover
        HBIN TimeStamp Spare
        HCELL Size u
        DUAL Guard FreeDisplay FreeSummary
        HMAP_ENTRY TemporaryBinAddress CmView
        HVP_VIEW_MAP SectionReference StorageEndFileOffset SectionEndFileOffset ProcessTuple Flags ViewTree
        CM_VIEW_OF_FILE ViewAddress FileOffset Size
        CM_KEY_NODE AccessBits ChildHiveReference ValueList.Count ValueList.List MaxNameLen UserFlags VirtControlFlags MaxClassLen MaxValueNameLen
            MaxValueDataLen WorkVar
        CM_BIG_DATA Signature Count List
        CM_KEY_SECURITY Signature Flink Blink ReferenceCount DescriptorLength Descriptor
        CHILD_LIST Count List
        CM_KEY_REFERENCE KeyCell KeyHive
        CM_KEY_BODY NotifyBlock KeyBodyList Flags HandleTags
        CM_KEY_CONTROL_BLOCK RefCount ExtFlags TotalLevels KeyHash KeyHash.ConvKey|ConvKey NextHash CachedSecurity ValueCache ValueList HashKey IndexHint
            SubKeyCount KeyBodyListHead KeyBodyArray KcbMaxNameLen KcbMaxValueNameLen KcbMaxValueDataLen Flags KcbUserFlags KcbVirtControlFlags RealKeyName
            FullKCBName SequenceNumber LayerInfo LayerHeight Delete Discarded
        CM_KEY_HASH ConvKey NextHash KeyHive KeyCell
        CM_NAME_CONTROL_BLOCK RefCount NameHash ConvKey NextHash
        CM_KEY_HASH_TABLE_ENTRY Lock Owner Entry
        CM_KEY_SECURITY_CACHE Cell ConvKey List DescriptorLength RealRefCount Descriptor
        CM_KEY_SECURITY_CACHE_ENTRY Cell CachedSecurity
        CM_KCB_LAYER_INFO LayerListEntry Kcb LowerLayer UpperLayerListHead
        CM_NOTIFY_BLOCK HiveList PostList KeyControlBlock KeyBody Filter WatchTree NotifyPending
        HIVE_LIST_ENTRY FileName BaseName RegRootName CmHive HHiveFlags CmHiveFlags CmHive2 FilePath HiveMounted
        MMVAD Core.StartingVpn|StartingVpn Core.EndingVpn|EndingVpn Core.u|u u2 u4 Core.VadNode.Left|LeftChild Core.VadNode.Right|RightChild
        MMVAD_SHORT VadNode.Left|LeftChild VadNode.Right|RightChild VadNode.ParentValue|u1 CommitChargeHigh ReferenceCount PushLock u5 EventList
            ExtraCreateInfo u.VadFlags u.VadFlags.Protection u.VadFlags.VadType u.VadFlags.PrivateMemory u.VadFlags.NoChange
            u1.VadFlags1.MemCommit|u.VadFlags.MemCommit u1.VadFlags1.CommitCharge|u.VadFlags.CommitCharge u.VadFlags.DeleteInProgress
        MMVAD_FLAGS PreferredNode DeleteInProgress PageSize PrivateFixup Enclave Graphics ShadowStack Lock
        MMVAD_FLAGS1 CommitCharge MemCommit
        MMVAD_FLAGS2 FileOffset Large TrimBehind Inherit CopyOnWrite NoValidationNeeded PrivateDemandZero LongVad
        MMPTE u u.Long u.Hard u.Soft u.Trans u.Proto u.Subsect u.List
        MMPTE_HARDWARE Dirty1 Owner WriteThrough CacheDisable Accessed Dirty LargePage Global CopyOnWrite Write WsleAge WsleProtection Unused
            SoftwareWsIndex
        MMPTE_SOFTWARE PageFileReserved PageFileAllocated ColdPage UsedPageTableEntries InStore ShadowStack OnStandbyLookaside
        MMPTE_TRANSITION Write WriteThrough CacheDisable SwizzleBit IoTracker OnStandbyLookaside Unused
        MMPTE_PROTOTYPE DemandFillProto HiberVerifyConverted ReadOnly SwizzleBit Protection Combined Unused1
        MMPTE_SUBSECTION Valid ColdPage SwizzleBit Protection ExecutePrivilege
        MMPTE_LIST Valid OneEntry SwizzleBit Protection Prototype Transition NextEntry
        MMPTE_TIMESTAMP MustBeZero SwizzleBit Protection Prototype Transition PageFileLow GlobalTimeStamp
        MMPFN u1.Flink u1.Event u2.Blink u2.ShareCount u3.ReferenceCount u3.e1 u3.e1.PageLocation u3.e1.WriteInProgress u3.e1.Modified u3.e1.ReadInProgress
            u3.e1.CacheAttribute u3.e3.Priority|u3.e1.Priority u3.e3.InPageError|u3.e1.InPageError u4.PteFrame u4.PrototypePte u4.PfnImageVerified
            u4.EntireField u4.Channel u4.PageColor u4.PageIdentity u4.PfnExists u4.ResidentPage u5 UsedPageTableEntries NodeBlinkLow NodeFlinkLow ViewCount
            VaType
        MMSUPPORT WorkingSetExpansionLinks WorkingSetSize PeakWorkingSetSize MinimumWorkingSetSize MaximumWorkingSetSize WorkingSetPrivateSize
            VmWorkingSetList PageFaultCount HardFaultCount LastTrimStamp Flags
        MMSUPPORT_FULL Instance Shared
        MM_SESSION_SPACE ReferenceCount u ProcessReferenceToSession NonPagablePages CommittedPages SessionObject SessionObjectHandle LocaleId AttachCount
            WsListEntry Session Vm Wsle ImageList ImageTree PageDirectory PageTables CreateTime PoolTags PoolBigEntriesInUse PoolTrackBigPages
            PoolTrackBigPagesSize PagedPoolInfo PagedPool HeapState
        MMPAGING_FILE MaximumSize MinimumSize PeakUsage HighestPage FreeReservationSpace Bitmaps Bitmap VirtualStorePagefile SwapSupported WsSwapPagefile
            HybridPriority BackedBySCM Entry Partition PageHash
        MI_SYSTEM_INFORMATION Pools Sections SystemImages Sessions Processes Hardware.InvalidPteMask Hardware.PhysicalAddressBits
            Hardware.SystemNodeInformation Hardware.HighestPossiblePhysicalPage Hardware.NumaMemoryRanges Hardware.NodeMask PageCombines Partitions
            Partitions.Partition Debugger SystemPtes PagingIo PagingIo.PageFileHead CommonPages Cookie BootRegistryRuns SystemImages.LoadLock
            SystemImages.ImageTree Vs.SystemVaRegions Vs.SystemVaType Vs.PagedPoolInfo Vs.SizeOfPagedPoolInPages Vs.MaximumNonPagedPoolInPages
            Vs.SystemPteInfo
        MI_PARTITION Core Core.PartitionId Core.MemoryRuns Core.MemoryNodeRuns Core.PageRoot Core.NodeInformation Core.PartitionObject Modwriter Store
            Segments PageLists Commit Zeroing PageCombine WorkingSetControl WorkingSetExpansionHead Vp Vp.PagingFile Vp.NumberOfPagingFiles
            Vp.AvailablePages Vp.NumberOfPhysicalPages
        MI_SYSTEM_NODE_INFORMATION NonPagedPoolFirstVa NonPagedPoolLastVa DynamicBitMapNonPagedPool NonPagedBitMap CachedKernelStacks
        SECTION u1.ControlArea u1.FileObject SizeOfSection u InitialPageProtection SessionId
        SECTION_OBJECT StartingVa EndingVa Parent LeftChild RightChild Segment
        SEGMENT_OBJECT BaseAddress TotalNumberOfPtes SizeOfSegment NonExtendedPtes ImageCommitment ControlArea Subsection
        SEGMENT SegmentFlags NumberOfCommittedPages SizeOfSegment ExtendInfo ThePtes u2.ImageInformation u2.FirstMappedVa
        CONTROL_AREA NumberOfSectionReferences NumberOfPfnReferences NumberOfMappedViews NumberOfUserReferences u.Flags.Image u.Flags.File
            u.Flags.FilePointerNull u.Flags.PhysicalMemory ModifiedWriteCount LockedPages WaitList u2 ListHead ControlAreaLock
        SUBSECTION UnusedPtes u NumberOfFullSectors GlobalPerSessionHead DirtyPages u.SubsectionFlags.StartingSector4132 u.SubsectionFlags.Protection
        MSUBSECTION Core SubsectionNode DereferenceList NumberOfMappedViews NumberOfPfnReferences
        SECTION_IMAGE_INFORMATION TransferAddress SubSystemType ImageCharacteristics DllCharacteristics Machine ImageFileSize CheckSum
        SHARED_CACHE_MAP OpenCount SectionSize InitialVacbs FileObjectFastRef DirtyPages SharedCacheMapLinks Flags Section PrivateList Callbacks
        VACB Overlay ArrayHead Links
        VACB_ARRAY_HEADER VacbArrayIndex MappingCount HighestMappedIndex
        PRIVATE_CACHE_MAP NodeTypeCode FileObject FileOffset1 BeyondLastByte1 PrivateLinks
        POOL_HEADER AllocatorBackTraceIndex PoolTagHash
        POOL_DESCRIPTOR PoolType PoolIndex RunningAllocs RunningDeAllocs|RunningDeallocs TotalPages TotalBytes TotalBigPages ListHeads PendingFrees
        POOL_TRACKER_TABLE NonPagedFrees PagedFrees
        POOL_TRACKER_BIG_PAGES PoolType Pattern SlushSize ProcessBilled
        EX_POOL_HEAP_MANAGER_STATE HeapManager NumberOfPools PoolNode SpecialHeaps
        EX_HEAP_POOL_NODE Heaps Lookasides
        RTLP_HP_HEAP_MANAGER Globals VaMgr AllocTracker MetadataHeaps
        RTLP_HP_HEAP_GLOBALS HeapKey LfhKey
        SEGMENT_HEAP EnvHandle Signature GlobalFlags UserContext LargeAllocMetadata LargeReservedPages LargeCommittedPages SegContexts VsContext LfhContext
            AllocatedBase UncommittedBase ReservedLimit Tag
        HEAP_SEG_CONTEXT SegmentMask UnitShift PagesPerUnitShift FirstDescriptorIndex Flags MaxAllocationSize LfhContext VsContext Heap SegmentListHead
            SegmentCount FreePageRanges
        HEAP_PAGE_SEGMENT ListEntry Signature SegmentCommitState UnusedWatermark DescArray
        HEAP_PAGE_RANGE_DESCRIPTOR TreeNode TreeSignature UnusedBytes ExtraPresent RangeFlags CommittedPageCount Key UnitOffset UnitSize
        HEAP_VS_CONTEXT Lock FreeChunkTree SubsegmentList TotalCommittedUnits FreeCommittedUnits DelayFreeContext Config Flags
        HEAP_VS_SUBSEGMENT ListEntry CommitBitmap Size FullCommit Signature
        HEAP_VS_CHUNK_HEADER Sizes Sizes.HeaderBits Sizes.UnsafeSize Sizes.UnsafePrevSize Sizes.Allocated Sizes.MemoryCost EncodedSegmentPageOffset
            UnusedBytes SkipDuringWalk AllocatedChunkBits
        HEAP_LFH_CONTEXT Config Buckets MaxAffinity
        HEAP_LFH_BUCKET State TotalBlockCount TotalSubsegmentCount AffinitySlots
        HEAP_LFH_AFFINITY_SLOT State ActiveSubsegment
        HEAP_LFH_SUBSEGMENT ListEntry Owner FreeCount BlockCount FreeHint Location WitheldBlockCount BlockOffsets CommitUnitShift CommitUnitCount
            CommitStateOffset BlockBitmap
        HEAP_LFH_SUBSEGMENT_OWNER IsBucket BucketIndex SlotCount SlotIndex AvailableSubsegmentCount AvailableSubsegmentList FullSubsegmentList
        HEAP_LFH_SUBSEGMENT_ENCODED_OFFSETS BlockSize FirstBlockOffset EncodedData
        HEAP_LARGE_ALLOC_DATA TreeNode VirtualAddress UnusedBytes ExtraPresent AllocatedPages
        WMI_LOGGER_CONTEXT LoggerId BufferSize LoggerMode LoggerName LogFileName StartTime LoggerThread GlobalList InstanceGuid NumberOfBuffers
            BuffersWritten EventsLost CollectionOn
        ETW_SILODRIVERSTATE EtwpLoggerContext|WmipLoggerContext EtwpGuidHashTable MaxLoggers EtwpSecurityProviderGuidEntry
        ETW_GUID_ENTRY GuidList RefCount Guid RegListHead SecurityDescriptor ProviderEnableInfo EnableInfo
        ETW_REG_ENTRY RegList GuidEntry Index Flags EnableMask SessionId Callback Process CallbackContext
        ETW_HASH_BUCKET ListHead BucketLock
        """;

    /// <summary>Reads the rows.</summary>
    /// <param name="structs">The schema's structures, by the number of their <see cref="KernelStruct"/> member.</param>
    public static KernelFieldName[] Read(ReadOnlySpan<string> structs)
    {
        var owners = new Dictionary<string, KernelStruct>(structs.Length, StringComparer.Ordinal);
        for (var i = 0; i < structs.Length; i++)
            owners.Add(structs[i].Split('|')[0][1..], (KernelStruct)i);
        var ownersBySpan = owners.GetAlternateLookup<ReadOnlySpan<char>>();
        var rows = new List<KernelFieldName>(2500);
        var owner = default(KernelStruct);
        foreach (var line in Text.AsSpan().EnumerateLines())
        {
            var isFirst = line[0] != ' ';
            foreach (var range in line.Split(' '))
            {
                var word = line[range];
                if (word.IsEmpty)
                    continue;
                if (isFirst)
                    owner = ownersBySpan[word];
                else
                    rows.Add(new KernelFieldName(owner, word.ToString()));
                isFirst = false;
            }
        }
        return [.. rows];
    }
}
